"""What README and docs show is there: languages, commands, options; tests/integration runs the blocks."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from features.events import Event, decode
from features.identity import IDENTITY_TYPES, HandOver, Identify, decode_identity
from features.prices import PRICE_TYPES, Price, PriceCopy, decode_price
from stream.messages.action import Action, decode_action
from stream.messages.score import Score, decode_score
from tests.document_blocks import (
    LANGUAGES,
    ROOT,
    Block,
    Command,
    blocks,
    commands,
    documents,
    spoken_commands,
)
from tests.document_commands import BACKGROUND, NOT_RUN, check_intent, in_background, not_run

PAGES = documents()
BLOCKS = [block for path in PAGES for block in blocks(path)]
COMMANDS = [command for block in BLOCKS if block.language == "bash" for command in commands(block.text)]


def test_every_block_is_of_a_language_that_is_tested() -> None:
    assert BLOCKS
    assert not [f"{block.place}: {block.language!r}" for block in BLOCKS if block.language not in LANGUAGES]


def test_every_block_of_text_shows_what_the_block_before_it_prints() -> None:
    for path in PAGES:
        before = None
        for block in blocks(path):
            assert block.language != "text" or before in ("bash", "python"), block.place
            before = block.language


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "json"], ids=lambda block: block.place)
def test_json_is_an_event_a_score_or_an_action(block: Block) -> None:
    shown = json.loads(block.text)
    decoder: Callable[[bytes], Event | Score | Action | Identify | HandOver | Price | PriceCopy] = decode
    if "action_id" in shown:
        decoder = decode_action
    elif "purchase_intent" in shown:
        decoder = decode_score
    elif shown.get("type") in IDENTITY_TYPES:
        decoder = decode_identity
    elif shown.get("type") in PRICE_TYPES:
        decoder = decode_price
    kind = decoder(block.text.encode())
    assert kind.item_id if isinstance(kind, Price | PriceCopy) else kind.customer_id
    assert set(shown) <= set(kind.__struct_fields__), block.place


def test_commands_that_are_not_run_have_a_reason_and_hold_all_the_same() -> None:
    used = set()
    for command in COMMANDS:
        entry = not_run(command)
        if entry is not None:
            used.add(entry.pattern)
            entry.check(command)
    unused = {entry.pattern for entry in NOT_RUN} - used
    assert not unused, f"no page shows these, remove them from NOT_RUN: {unused}"


def test_every_command_of_intent_has_the_options_that_pages_name() -> None:
    spoken = [command for path in PAGES for command in spoken_commands(path)]
    shown = [command for command in COMMANDS if command.words[:1] == ["intent"]]
    assert spoken and shown
    for command in spoken + shown:
        check_intent(command)


def test_pages_show_what_runs_in_the_background() -> None:
    for pattern in BACKGROUND:
        assert any(in_background(command) for command in COMMANDS), pattern


def test_continued_lines_are_one_command_and_comments_are_none() -> None:
    text = "# a remark\n\nINTENT_HTTP_PORT=0 intent worker \\\n    --bundle b  # the second\necho '{}' | intent emit\n"
    found = commands(text)
    assert [command.words for command in found] == [["intent", "worker", "--bundle", "b"], ["echo", "{}"]]
    assert in_background(found[0]) and not in_background(found[1])


def test_lines_within_quotes_are_one_command() -> None:
    found = commands("echo 'a,b\n1,2' > shop.csv\nintent emit shop.csv\n")
    assert [command.words for command in found] == [["echo", "a,b\n1,2"], ["intent", "emit", "shop.csv"]]
    with pytest.raises(ValueError, match="a quotation has no end"):
        commands("echo 'a\n")


def test_a_command_or_an_option_that_is_not_there_is_noticed() -> None:
    check_intent(Command("intent customer show c-17 --bundle bundle"))
    with pytest.raises(AssertionError, match="no option --bundel"):
        check_intent(Command("intent customer show c-17 --bundel bundle"))
    with pytest.raises(AssertionError, match="no command 'forget'"):
        check_intent(Command("intent customer forget c-17"))


def test_a_block_without_an_end_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("text\n\n```bash\nintent emit\n")
    with pytest.raises(ValueError, match=r"page\.md:4: the block has no end"):
        blocks(page)


def test_the_site_lists_every_page() -> None:
    listed = (ROOT / ".mkdocs.yml").read_text()
    docs = ROOT / "docs"
    assert not [path for path in docs.rglob("*.md") if str(path.relative_to(docs)) not in listed]


def _git(*words: str, given: str = "") -> list[str]:
    program = shutil.which("git")
    if program is None or not (ROOT / ".git").exists():
        pytest.skip("this is no clone of the repository")
    found = subprocess.run(
        [program, *words], cwd=ROOT, input=given, capture_output=True, text=True, check=False
    )
    return found.stdout.splitlines()


def test_what_blocks_write_in_the_repository_is_ignored_by_git_and_nothing_else() -> None:
    bash = [block for block in BLOCKS if block.language == "bash"]
    outputs = {output for block in bash for command in commands(block.text) for output in command.outputs}
    inside = {output for output in outputs if not output.startswith("/")}
    assert {"own.csv", "examples", "shelf", "keys.json"} <= inside
    named = inside | {f"{output}/x" for output in inside}  # files, or folders
    ignored = set(_git("check-ignore", "--no-index", "--stdin", given="\n".join(sorted(named))))
    assert sorted(output for output in inside if not {output, f"{output}/x"} & ignored) == []
    assert _git("ls-files", "--cached", "--ignored", "--exclude-standard") == []


def test_no_page_builds_examples_in_a_folder_that_it_has_filled() -> None:
    seen: set[tuple[Path, str]] = set()
    for block in BLOCKS:
        for command in commands(block.text) if block.language == "bash" else ():
            for output in command.outputs:
                assert command.words[:2] != ["intent", "examples"] or (block.path, output) not in seen, (
                    f"{block.place}: `{command.text}` finds {output} filled by a command above it"
                )
                seen.add((block.path, output))
