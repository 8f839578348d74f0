"""The last seconds of a stream: bounded, and cut where decoding can begin."""

import pytest

from gateway.domain.clip import EncodedPacket, Excerpt, StreamFormat
from gateway.sources.packets import PacketRing

H264 = StreamFormat("h264", (640, 480))
FPS = 10
GROUP = 10


def a_packet(number: int, *, offset_s: float = 0.0, size: int = 100) -> EncodedPacket:
    time_s = number / FPS
    return EncodedPacket(bytes(size), time_s + offset_s, 1000 + time_s, number % GROUP == 0)


def fed(count: int, *, seconds: float = 60.0, limit_bytes: int = 1 << 20, size: int = 100) -> PacketRing:
    ring = PacketRing(seconds, limit_bytes)
    for number in range(count):
        ring.put(H264, a_packet(number, size=size))
    return ring


def cut(ring: PacketRing, from_s: float, to_s: float) -> Excerpt | None:
    got: list[Excerpt | None] = []
    ring.request(from_s, to_s, got.append)
    ring.settle()
    (excerpt,) = got
    return excerpt


def times(excerpt: Excerpt | None) -> tuple[float, float]:
    assert excerpt is not None
    return excerpt.packets[0].time_s, excerpt.packets[-1].time_s


def test_a_stretch_begins_at_the_key_picture_before_and_ends_where_it_was_asked_to():
    excerpt = cut(fed(100), 1003.5, 1006.2)
    assert excerpt is not None
    assert times(excerpt) == (1003.0, 1006.2)
    assert excerpt.packets[0].is_key
    assert excerpt.missing_reason == ""


def test_it_is_handed_over_as_soon_as_it_is_there():
    ring, got = fed(50), []
    ring.request(1003.0, 1006.0, got.append)
    for number in range(50, 60):
        ring.put(H264, a_packet(number))
        assert not got
    ring.put(H264, a_packet(60))
    assert [times(excerpt) for excerpt in got] == [(1003.0, 1006.0)]


def test_a_ring_that_is_cleared_answers_first_and_then_holds_nothing():
    ring, got = fed(50), []
    ring.request(1003.0, 1006.0, got.append)
    ring.clear()
    assert [times(excerpt) for excerpt in got] == [(1003.0, 1004.9)]
    assert ring.size_bytes == 0
    assert cut(ring, 1003.0, 1004.0) is None


def test_memory_is_bounded_in_bytes_and_in_time():
    assert fed(1000, limit_bytes=5000).size_bytes == 5000
    assert fed(1000, seconds=2.0).size_bytes == 21 * 100


def test_a_packet_larger_than_the_ring_leaves_it_empty_and_usable():
    ring = fed(5, limit_bytes=1000)
    ring.put(H264, a_packet(5, size=2000))
    assert ring.size_bytes == 0
    ring.put(H264, a_packet(10))
    assert times(cut(ring, 1001.0, 1001.0)) == (1001.0, 1001.0)


def test_what_is_missing_is_told():
    excerpt = cut(fed(100, seconds=3.0), 1001.0, 1012.0)
    assert excerpt is not None
    assert times(excerpt) == (1007.0, 1009.9)
    assert "first 6.0 s and the last 2.1 s are missing" in excerpt.missing_reason


@pytest.mark.parametrize("jump_s", [-5.0, 5.0])
def test_a_jump_of_the_cameras_clock_begins_a_new_stretch_and_ends_what_is_waited_for(jump_s: float):
    ring, got = fed(50), []
    ring.request(1003.0, 1007.0, got.append)
    for number in range(50, 80):
        ring.put(H264, a_packet(number, offset_s=jump_s))
    assert [times(excerpt) for excerpt in got] == [(1003.0, 1004.9)]
    assert times(cut(ring, 1003.0, 1007.0)) == (1005.0, 1007.0)


def test_another_encoding_begins_a_new_stretch():
    ring = fed(50)
    for number in range(50, 80):
        ring.put(StreamFormat("hevc", (640, 480)), a_packet(number))
    excerpt = cut(ring, 1003.0, 1007.0)
    assert excerpt is not None
    assert excerpt.format.codec == "hevc"
    assert times(excerpt) == (1005.0, 1007.0)


def test_nothing_that_decoding_could_begin_with_is_nothing():
    ring = PacketRing(10, 1000)
    for number in range(1, 9):
        ring.put(H264, a_packet(number))
    assert not ring.empty
    assert cut(ring, 1000.0, 1001.0) is None


def test_a_stream_that_is_over_answers_at_once_and_one_that_goes_on_makes_wait_again():
    ring, got = fed(50), []
    ring.settle()
    ring.request(1003.0, 1007.0, got.append)
    assert len(got) == 1
    ring.put(H264, a_packet(50))
    ring.request(1003.0, 1007.0, got.append)
    assert len(got) == 1


def test_how_much_is_kept_may_change():
    ring = fed(100, seconds=0.0)
    assert ring.size_bytes == 100
    ring.keep(2.0)
    for number in range(100, 200):
        ring.put(H264, a_packet(number))
    assert ring.size_bytes == 21 * 100
