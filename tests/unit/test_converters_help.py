"""What `--help` teaches holds: every verb has an example, and every example is a command line that is understood."""

import argparse
import shlex

import pytest

from converters.arguments import parser
from converters.cli import main
from converters.examples import examples_of
from converters.verbs import VERBS

OF_CLI = ("onnx", "builtin", "list", "verify", "lint")
EVERY = (*OF_CLI, *VERBS)


def lines_of(verb):
    return [line.strip() for line in examples_of(verb).splitlines() if line.strip().startswith("ruth-convert")]


@pytest.mark.parametrize("verb", ["", *EVERY])
def test_every_example_is_understood_and_of_its_verb(verb):
    lines = lines_of(verb)
    assert lines
    for line in lines:
        parsed = parser(OF_CLI, VERBS).parse_args(shlex.split(line)[1:])
        assert verb in ("", parsed.verb)


@pytest.mark.parametrize("verb", EVERY)
def test_help_ends_with_examples(verb, capsys):
    with pytest.raises(SystemExit) as ended:
        main([verb, "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert all(line in said for line in lines_of(verb))


def test_each_option_of_each_verb_says_what_it_does():
    (verbs,) = (action for action in parser(OF_CLI, VERBS)._actions if isinstance(action, argparse._SubParsersAction))
    assert all(action.help for verb in verbs.choices.values() for action in verb._actions)
