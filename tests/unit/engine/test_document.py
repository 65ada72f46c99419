import pytest
import yaml

from penstock.engine.document import Document, read_document
from penstock.engine.yaml_tree import MAX_BYTES, MAX_DEPTH, MAX_NODES
from penstock.findings import Finding, Position, Severity


def read(text: str | bytes, **options) -> tuple[Document | None, list[str]]:
    document, findings = read_document(text, file="p.yml", **options)
    return document, [str(finding) for finding in findings]


def root(text: str | bytes) -> object:
    document, findings = read(text)
    assert findings == []
    assert document is not None
    return document.root


def refused(text: str | bytes, **options) -> str:
    document, (finding,) = read(text, **options)
    assert document is None
    return finding


def test_keys_and_values_know_their_places():
    document, _ = read("a: 1\nb:\n  - x\n  - c: 2\n")
    assert document is not None
    places = [(("b",), False), (("b",), True), (("b", 0), False), (("b", 1, "c"), False), (("b", 1, "c"), True)]
    found = [document.position(path, of_value=of_value) for path, of_value in places]
    assert found == [Position(2, 1), Position(3, 3), Position(3, 5), Position(4, 5), Position(4, 8)]


def test_what_is_absent_is_placed_at_its_nearest_parent():
    document, _ = read("a:\n  b: 1\n")
    assert document is not None
    assert document.position(("a", "x", "y")) == Position(1, 1)
    assert document.position(("a", "b", "c"), of_value=True) == Position(2, 3)


def test_scalars_are_yaml_1_2_unless_quoted():
    assert root("a: [no, 1e3, '1', \"true\", ~, 12:30, !!str 5]") == {
        "a": ["no", 1000.0, "1", "true", None, "12:30", "5"]
    }


def test_columns_count_characters_not_bytes():
    assert refused("é: 'ü': x").startswith("p.yml:1:7: ")


@pytest.mark.parametrize("data", ["\ufeffa: 1", "\ufeffa: 1".encode()])
def test_a_byte_order_mark_is_skipped(data):
    assert root(data) == {"a": 1}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("a:\n\t- b", "2:1: a tab cannot stand here; indent with spaces"),
        ("a: b: c", "1:5: not valid YAML: a ':' is not expected here"),
        ("a: 'b", "1:6: not valid YAML: the text ends inside quotes"),
        ("a: [1, 2", "a ',' or ']' is missing"),
        ("a:\n  b: 1\n c: 2", "3:2: not valid YAML: the indentation does not fit"),
        ("a: @b", "1:4: the character '@' cannot begin a value; put the value in quotes"),
        ("a: 1\n---\nb: 2", "2:1: a second document begins here"),
        ("a: !!python/object:os.system x", "1:4: the tag '!!python/object:os.system' is not allowed"),
        ("a: !mine x", "1:4: the tag '!mine' is not allowed"),
        ("a: !!str [x]", "1:4: the tag '!!str' is not allowed"),
        ("a: *b", "1:4: the alias '*b' names no anchor above it"),
        ("a: &b [*b]", "1:8: the alias '*b' stands inside what it names"),
        ("a: \x07", "1:4: the character U+0007 is not allowed in YAML"),
        ("a: \ud800", "1:4: the character U+D800 is not allowed in YAML"),
        (b"a: 1\nb: \xff", "2:4: byte 0xff is not UTF-8"),
        ("a: 1".encode("utf-16"), "1:1: the file is UTF-16; save it as UTF-8"),
        ("", "1:1: the file is empty"),
        ("# nothing\n", "1:1: the file is empty"),
        ("---\n", "1:1: the file is empty"),
        ("- a", "1:1: a pipeline file is a mapping"),
        ("just text", "1:1: a pipeline file is a mapping"),
    ],
)
def test_text_that_is_no_document_is_refused_with_its_place(data, message):
    assert message in refused(data)


def test_duplicate_keys_name_both_places_and_the_reading_goes_on():
    findings = read("a: 1\nb: {c: 1, c: 2}\na: 3\n")[1]
    assert findings == [
        "p.yml:2:11: b.c: the key 'c' was given on line 2 already",
        "p.yml:3:1: a: the key 'a' was given on line 1 already",
    ]


@pytest.mark.parametrize("key", ["1", "1.5", "true", "null", "~", "[a]", "{a: b}"])
def test_a_key_that_is_not_text_is_an_error(key):
    (finding,) = read(f"x:\n  ? {key}\n  : 1\n")[1]
    assert finding.startswith("p.yml:2:5: x.")
    assert "a key must be text" in finding


def test_keys_that_only_yaml_1_1_takes_for_booleans_are_names():
    assert root("on: 1\nno: 2\n'1': 3\n") == {"on": 1, "no": 2, "1": 3}


def test_an_alias_repeats_a_value_and_a_merge_key_fills_in_what_is_missing():
    text = "x-s3: &s3 {bucket: b, region: r}\na: *s3\nb:\n  <<: *s3\n  region: mine\nc: {<<: [{bucket: c}, *s3]}\n"
    value = root(text)
    assert isinstance(value, dict)
    assert value["a"] == {"bucket": "b", "region": "r"}
    assert value["b"] == {"bucket": "b", "region": "mine"}
    assert value["c"] == {"bucket": "c", "region": "r"}


def test_a_merged_mapping_brings_what_it_has_merged_itself():
    value = root("a: &a {x: 1, y: 1}\nb: &b {<<: *a, y: 2}\nc: {<<: *b, z: 3}\n")
    assert isinstance(value, dict)
    assert value["c"] == {"x": 1, "y": 2, "z": 3}


@pytest.mark.parametrize(("levels", "fits"), [(63, True), (64, True), (65, False)])
def test_the_depth_of_merging_is_bounded(levels, fits):
    text = "x0: &x0 {a: 1}\n" + "".join(f"x{i}: &x{i} {{<<: *x{i - 1}}}\n" for i in range(1, levels + 1))
    assert (read(text)[0] is not None) is fits


def test_merged_values_count():
    mapping = "a: &a {" + ", ".join(f"k{i}: 1" for i in range(300)) + "}\n"
    text = mapping + "".join(f"b{i}: {{<<: [*a, *a, *a, *a]}}\n" for i in range(100))
    assert "once its aliases are followed" in refused(text)


def test_a_quoted_merge_key_is_a_key():
    assert root("'<<': {a: 1}") == {"<<": {"a": 1}}


def test_merging_what_is_no_mapping_is_an_error():
    assert "'<<' merges mappings" in read("a: {<<: [1]}")[1][0]


@pytest.mark.parametrize(
    "text", ["a: &x 1\nb: *x", "a: &x {c: 1}\nb: {<<: *x}", "a: &x {}\nb: [*x]", "a: {<<: &x {}}\nb: {<<: *x}"]
)
def test_aliases_can_be_refused(text):
    assert "an alias is not allowed here" in refused(text, aliases=False)
    assert read(text)[1] == []


@pytest.mark.parametrize(("extra", "fits"), [(-1, True), (0, True), (1, False)])
def test_the_size_limit_holds_at_n_minus_one_n_and_n_plus_one(extra, fits):
    text = "a: 1\n#" + "x" * (MAX_BYTES - 6 + extra)
    for data in (text, text.encode()):
        assert (read(data)[0] is not None) is fits


@pytest.mark.parametrize(("extra", "fits"), [(-1, True), (0, True), (1, False)])
def test_the_depth_limit_holds_at_n_minus_one_n_and_n_plus_one(extra, fits):
    lists = MAX_DEPTH - 2 + extra  # inside the root, around a scalar
    assert (read("a: " + "[" * lists + "1" + "]" * lists)[0] is not None) is fits


@pytest.mark.parametrize(("extra", "fits"), [(-1, True), (0, True), (1, False)])
def test_the_depth_limit_holds_through_aliases(extra, fits):
    lists = MAX_DEPTH - 2 - 31 + extra
    text = "a: &a " + "[" * 31 + "1" + "]" * 31 + "\nb: " + "[" * lists + "*a" + "]" * lists
    assert (read(text)[0] is not None) is fits


@pytest.mark.parametrize(("extra", "fits"), [(-1, True), (0, True), (1, False)])
def test_the_limit_of_values_holds_at_n_minus_one_n_and_n_plus_one(extra, fits):
    items = MAX_NODES - 3 + extra  # the root, its key and the list are values too
    assert (read("a: [" + "1," * items + "]")[0] is not None) is fits


def test_values_reached_through_aliases_count():
    levels = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    levels += [
        f"{name}: &{name} [{', '.join(['*' + last] * 10)}]" for last, name in zip("abcdef", "bcdefg", strict=True)
    ]
    assert "once its aliases are followed" in refused("\n".join(levels))


@pytest.mark.parametrize("opening", ["[", "{", "- ", "? ", "{a: "])
def test_a_megabyte_of_openings_is_refused_without_a_crash(opening):
    assert "nested more than" in refused(opening * ((MAX_BYTES - 1) // len(opening)))


def test_a_number_too_long_to_convert_is_an_error():
    assert "too many digits" in read("a: " + "9" * 5000)[1][0]


def test_no_value_is_in_the_repr():
    document, _ = read("a: hunter2")
    assert "hunter2" not in repr(document)


def test_a_finding_is_one_printable_line_whatever_the_file_holds():
    line = str(Finding("says \x1b[31m'\n'", ("k" * 500, "a\nb"), Position(1, 2), Severity.WARNING, "p.yml"))
    assert line.isprintable()
    assert line.startswith("p.yml:1:2: warning: " + "k" * 79 + "….a\\nb: says \\x1b")


@pytest.mark.parametrize("loader", [yaml.SafeLoader, yaml.CSafeLoader])
def test_both_parsers_of_pyyaml_read_alike(monkeypatch, loader):
    monkeypatch.setattr("penstock.engine.yaml_tree._LOADER", loader)
    assert root("a: [no, &x 1e3, *x]\nb: {<<: {c: '1'}}\n") == {"a": ["no", 1000.0, 1000.0], "b": {"c": "1"}}
    assert "2:1: a tab cannot stand here" in refused("a:\n\t- b")
    assert "1:65: values are nested more than 64 levels" in refused("[" * (MAX_BYTES - 1))
    assert "p.yml:2:1: a second document" in refused("a: 1\n--- b")
    assert ": not valid YAML: " in refused("a: [1")
