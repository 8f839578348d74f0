"""When a rule holds."""

import datetime as dt
from zoneinfo import ZoneInfo

from gateway.domain.definitions import Day, Schedule


def holds(schedule: Schedule | None, time_s: float) -> bool:
    """Whether a schedule includes a Unix time in seconds; a day's hours may reach into the next day."""
    if schedule is None:
        return True
    local = dt.datetime.fromtimestamp(time_s, ZoneInfo(schedule.time_zone))
    minute, today = local.hour * 60 + local.minute, tuple(Day)[local.weekday()]
    start, end = _minute(schedule.start), _minute(schedule.end)
    if start < end:
        return today in schedule.days and start <= minute < end
    yesterday = tuple(Day)[local.weekday() - 1]
    return (today in schedule.days and minute >= start) or (yesterday in schedule.days and minute < end)


def _minute(time_of_day: str) -> int:
    hour, minute = time_of_day.split(":")
    return int(hour) * 60 + int(minute)
