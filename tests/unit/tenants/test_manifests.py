"""Manifests on disk: documents, files, folders, and what an edit leaves."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from treadle.documents import MOST_BYTES, MOST_FAULTS, DocumentError, read_documents
from treadle.manifests import ManifestReader, retain

READER = ManifestReader()


def tenant(name: str, deadline: str = "1s", uri: str = "m.onnx", **metadata: str) -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "treadle.dev/v1alpha1",
            "kind": "InferenceTenant",
            "metadata": {"name": name, **metadata},
            "spec": {
                "slo": {"deadline": deadline},
                "tiers": [{"name": "only", "accuracy": "90", "model": {"uri": uri}}],
            },
        }
    )


def keys(found) -> list[str]:
    return [one.tenant.key for one in found.accepted]


def test_many_documents_in_many_files(tmp_path):
    (tmp_path / "b.yml").write_text(tenant("c"))
    (tmp_path / "a.yaml").write_text(f"---\n{tenant('a')}---\n---\n{tenant('b')}")
    (tmp_path / ".hidden.yaml").write_text(tenant("hidden"))
    (tmp_path / "notes.txt").write_text("not a manifest")
    found = READER.read(tmp_path)
    assert keys(found) == ["a.default", "b.default", "c.default"]
    assert [str(one.source) for one in found.accepted] == [
        f"{tmp_path}/a.yaml document 1",
        f"{tmp_path}/a.yaml document 3",
        f"{tmp_path}/b.yml document 1",
    ]
    assert found.refusals == ()


def test_one_file_by_name(tmp_path):
    (tmp_path / "a.manifest").write_text(tenant("a"))
    (tmp_path / "b.yaml").write_text(tenant("b"))
    assert keys(READER.read(tmp_path / "a.manifest")) == ["a.default"]


def test_what_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        READER.read(tmp_path / "missing")


def test_plain_paths_are_relative_to_the_manifests_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("sub").mkdir()
    Path("sub/a.yaml").write_text(tenant("a", uri="models/m.onnx"))
    Path("sub/b.yaml").write_text(tenant("b", uri="/abs/m.onnx"))
    Path("sub/c.yaml").write_text(tenant("c", uri="https://h/m.onnx"))
    uris = [one.tenant.tiers[0].model.uri for one in READER.read(Path("sub")).accepted]
    assert uris == [f"{tmp_path}/sub/models/m.onnx", "/abs/m.onnx", "https://h/m.onnx"]


def test_a_bad_document_does_not_keep_the_others_out(tmp_path):
    (tmp_path / "a.yaml").write_text("---\n".join([tenant("a"), tenant("b", deadline="0s"), tenant("c")]))
    (tmp_path / "b.yaml").write_text(f"{tenant('d')}---\nx: [1\n")
    (tmp_path / "c.yaml").write_text("- 1")
    found = READER.read(tmp_path)
    assert keys(found) == ["a.default", "c.default", "d.default"]
    assert [(one.source.file.name, one.source.document, one.key, one.field) for one in found.refusals] == [
        ("a.yaml", 2, "b.default", "spec.slo.deadline"),
        ("b.yaml", 2, "", ""),
        ("c.yaml", 1, "", ""),
    ]
    assert (
        str(found.refusals[0])
        == f"{tmp_path}/a.yaml document 2: spec.slo.deadline: must be longer than zero and at most 1h"
    )
    assert "line 1" in found.refusals[1].reason or "line" in found.refusals[1].reason


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("a: [1\n", "line 15, column 1: expected ',' or ']'"),
        ("a: b: c\n", "line 14, column 5: mapping values are not allowed here"),
        ("a: 1\na: 2\n", "line 15, column 1: the key 'a' is here twice"),
        ("just text\n", "must be an object"),
        ("a: &a [*a]\n", "nested too deeply"),
        ('a: "\n', "found unexpected end of stream"),
        ("a: 0x_\n", "line 14, column 4: '0x_' is not a value of the type int"),
    ],
)
def test_documents_around_a_bad_one_are_read_and_it_is_told_by_its_number_and_line(tmp_path, bad, reason):
    assert tenant("a").count("\n") == 12, "then the bad one begins in line 14"
    others = f"# nothing\n---\n{tenant('b')}...\n---\n{tenant('c')}"
    (tmp_path / "a.yaml").write_text(f"{tenant('a')}---\n{bad}---\n{others}")
    found = READER.read(tmp_path)
    assert keys(found) == ["a.default", "b.default", "c.default"]
    assert [one.source.document for one in found.accepted] == [1, 4, 5]
    (refusal,) = found.refusals
    assert refusal.source.document == 2
    assert reason in refusal.reason


def test_marks_in_texts_and_directives_part_no_documents(tmp_path):
    text = "# a comment\n%YAML 1.1\n---\na: |\n  ---\n  ...\n...\n%YAML 1.1\n# b\n---\nb: x---\n"
    (tmp_path / "a.yaml").write_text(f"{text}--- {{c: 1}}\n---\n---\nd: 2\n")
    assert list(read_documents(tmp_path / "a.yaml")) == [
        (1, {"a": "---\n...\n"}), (2, {"b": "x---"}), (3, {"c": 1}), (5, {"d": 2}),
    ]  # fmt: skip


def test_of_a_file_that_holds_no_manifests_not_all_is_told(tmp_path):
    (tmp_path / "a.yaml").write_text("---\ntext\n" * MOST_FAULTS)
    assert len(READER.read(tmp_path).refusals) == MOST_FAULTS
    (tmp_path / "a.yaml").write_text("---\ntext\n" * 100_000)
    *some, last = READER.read(tmp_path).refusals
    assert len(some) == MOST_FAULTS
    assert last.source.document == MOST_FAULTS + 1
    assert "nor what follows" in last.reason


@pytest.mark.parametrize("value", ["0x_", "!!bool x", "0x" + "F" * 4000, '"\\UFFFFFFFF"'])
def test_nor_does_one_with_a_bad_value(tmp_path, value):
    (tmp_path / "a.yaml").write_text(tenant("a") + f"  priority: {value}\n")
    (tmp_path / "b.yaml").write_text(tenant("b"))
    found = READER.read(tmp_path)
    assert keys(found) == ["b.default"]
    assert [one.source.file.name for one in found.refusals] == ["a.yaml"]


def test_nor_does_one_that_can_be_read_but_is_too_deep_to_be_checked(tmp_path):
    chain = "\n".join(f"  a{n}: &a{n} {'[' * 200} *a{n - 1} {']' * 200}" for n in range(1, 9))
    (tmp_path / "a.yaml").write_text(tenant("a").replace("metadata:", f"metadata:\n  a0: &a0 []\n{chain}"))
    (tmp_path / "b.yaml").write_text(tenant("b"))
    found = READER.read(tmp_path)
    assert keys(found) == ["b.default"]
    assert [one.reason for one in found.refusals] == ["is nested too deeply"]


def test_a_check_that_fails_is_a_refusal(tmp_path, monkeypatch, caplog):
    (tmp_path / "a.yaml").write_text(f"{tenant('a')}---\n{tenant('b')}")
    reader = ManifestReader()
    problems = reader._schema.problems

    def fail(completed):
        if completed["metadata"]["name"] == "a":
            raise ZeroDivisionError("of this test")
        return problems(completed)

    monkeypatch.setattr(reader._schema, "problems", fail)
    found = reader.read(tmp_path)
    assert keys(found) == ["b.default"]
    assert [(one.source.document, one.reason) for one in found.refusals] == [
        (1, "treadle cannot check it: ZeroDivisionError('of this test')")
    ]
    assert "cannot be checked" in caplog.text


def test_the_second_of_two_tenants_of_one_name_is_refused(tmp_path):
    (tmp_path / "a.yaml").write_text(tenant("a"))
    (tmp_path / "b.yaml").write_text(f"{tenant('a', namespace='other')}---\n{tenant('a', namespace='default')}")
    found = READER.read(tmp_path)
    assert keys(found) == ["a.default", "a.other"]
    (refusal,) = found.refusals
    assert (refusal.source.document, refusal.field) == (2, "metadata.name")
    assert f"{tmp_path}/a.yaml document 1" in refusal.reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: 1\na: 2\n", "line 2, column 1: the key 'a' is here twice"),
        ("b:\n  a: {x: 1, x: 2}\n", "the key 'x' is here twice"),
        ("1: a\n", "keys must be strings"),
        ("a: !!python/object:os.system {}\n", "could not determine a constructor"),
        ("a: [1\n", "expected ',' or ']'"),
        ("a: &a [*a]\n", "nested too deeply"),
        ("a: b: c\n", "mapping values are not allowed here"),
        ("a: " + "[" * 5000, "nested too deeply"),
        ("a: " + "x" * MOST_BYTES, "more than 1048576 bytes"),
        ("just text", "must be an object"),
        ("a: 0x_\n", "line 1, column 4: '0x_' is not a value of the type int"),
        ("a: [1,\n 0b_]\n", "line 2, column 2: '0b_' is not a value of the type int"),
        ("a: !!int x\n", "line 1, column 4: 'x' is not a value of the type int"),
        ("a: !!bool x\n", "'x' is not a value of the type bool"),
        ("a: !!float x\n", "'x' is not a value of the type float"),
        ("a: !!timestamp x\n", "could not determine a constructor"),
        ("a: !!timestamp 2026-01-01\n", "could not determine a constructor"),
        ("a: !!binary aaaa\n", "could not determine a constructor"),
        ("a: !!set {b}\n", "could not determine a constructor"),
        ("a: !!str [b]\n", "expected a scalar node"),
        ("a: !!map b\n", "must be a mapping"),
        ("a: " + "9" * 5000, f"'{'9' * 64}'… is not a value of the type int"),
        ("a: 0x" + "F" * 4000, "is not a value of the type int"),
        ("a: 1" + ":1" * 400_000, "is not a value of the type int"),
        ("a: 9223372036854775808\n", "is not a value of the type int"),
        ("a: .inf\n", "'.inf' is not a value of the type float"),
        ("a: 1.0e+999\n", "is not a value of the type float"),
        ('a: "\\uD800"\n', "is not a value of the type str"),
        ('a: "\\UFFFFFFFF"\n', "cannot be read: "),
    ],
)
def test_unacceptable_yaml(tmp_path, text, reason):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(DocumentError) as caught:
        list(read_documents(tmp_path / "a.yaml"))
    assert reason in str(caught.value)
    assert caught.value.document == 1


def test_a_billion_laughs_are_not_heard(tmp_path):
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"] + [
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)
    ]
    (tmp_path / "a.yaml").write_text("\n".join(lines))
    with pytest.raises(DocumentError, match="aliases"):
        list(read_documents(tmp_path / "a.yaml"))


def test_nor_are_merges_that_multiply(tmp_path):
    base = ", ".join(f"k{n}: 1" for n in range(1000))
    (tmp_path / "a.yaml").write_text(f"a: &a {{{base}}}\nb:\n" + "- {<<: *a}\n" * 101)
    with pytest.raises(DocumentError, match="merge keys make more than 100000 values"):
        list(read_documents(tmp_path / "a.yaml"))


def test_numbers_and_words_are_those_of_yaml(tmp_path):
    text = "[0x1F, -0b11, 017, 1_000, 1:30, 1.5e+3, -9223372036854775808, yes, ~, !!int '7', !!str 8, !!float 2]"
    (tmp_path / "a.yaml").write_text(f"a: {text}\n")
    ((_, document),) = read_documents(tmp_path / "a.yaml")
    assert document == {"a": [31, -3, 15, 1000, 90, 1500.0, -(2**63), True, None, 7, "8", 2.0]}


def test_aliases_merges_and_dates_are_plain_values(tmp_path):
    (tmp_path / "a.yaml").write_text("base: &b {x: 1}\nuse: {<<: *b, x: 2}\nagain: {<<: *b}\nday: 2026-01-01\n")
    ((_, document),) = read_documents(tmp_path / "a.yaml")
    assert document == {"base": {"x": 1}, "use": {"x": 2}, "again": {"x": 1}, "day": "2026-01-01"}


def test_text_that_is_not_utf8(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"a: \xff")
    with pytest.raises(DocumentError, match="byte 3 is not UTF-8"):
        list(read_documents(tmp_path / "a.yaml"))


def test_a_refused_edit_leaves_the_tenant_as_it_was(tmp_path):
    (tmp_path / "a.yaml").write_text(f"{tenant('a')}---\n{tenant('b')}")
    before = READER.read(tmp_path)
    (tmp_path / "a.yaml").write_text(f"{tenant('a', deadline='0s')}---\n{tenant('b', deadline='2s')}")
    after = retain(before, READER.read(tmp_path))
    assert {one.tenant.key: one.tenant.slo.deadline for one in after.accepted} == {"a.default": 1.0, "b.default": 2.0}
    assert [one.key for one in after.refusals] == ["a.default"]


def test_a_file_that_cannot_be_parsed_keeps_its_tenants_and_no_others(tmp_path):
    (tmp_path / "a.yaml").write_text(f"{tenant('a')}---\n{tenant('b')}")
    (tmp_path / "c.yaml").write_text(tenant("c"))
    before = READER.read(tmp_path)
    (tmp_path / "a.yaml").write_text("x: [")
    (tmp_path / "c.yaml").unlink()
    assert keys(retain(before, READER.read(tmp_path))) == ["a.default", "b.default"]


def test_what_is_gone_is_gone(tmp_path):
    (tmp_path / "a.yaml").write_text(f"{tenant('a')}---\n{tenant('b')}")
    before = READER.read(tmp_path)
    (tmp_path / "a.yaml").write_text(tenant("b"))
    assert keys(retain(before, READER.read(tmp_path))) == ["b.default"]


def test_a_tenant_may_move_to_another_file(tmp_path):
    (tmp_path / "a.yaml").write_text(tenant("a"))
    before = READER.read(tmp_path)
    (tmp_path / "a.yaml").write_text("x: [")
    (tmp_path / "b.yaml").write_text(tenant("a", deadline="2s"))
    after = retain(before, READER.read(tmp_path))
    assert [(one.tenant.slo.deadline, one.source.file.name) for one in after.accepted] == [(2.0, "b.yaml")]


def test_a_second_file_takes_no_tenant_over_whatever_its_name(tmp_path):
    (tmp_path / "m.yaml").write_text(tenant("a"))
    before = READER.read(tmp_path)
    for other in ("b.yaml", "z.yaml"):
        (tmp_path / other).write_text(tenant("a", deadline="2s"))
    now = READER.read(tmp_path, before)
    assert [(one.tenant.slo.deadline, one.source.file.name) for one in now.accepted] == [(1.0, "m.yaml")]
    assert [one.source.file.name for one in now.refusals] == ["b.yaml", "z.yaml"]
    assert all("m.yaml document 1 already" in one.reason for one in now.refusals)
    (tmp_path / "m.yaml").unlink()
    now = READER.read(tmp_path, retain(before, now))
    assert [one.source.file.name for one in now.accepted] == ["b.yaml"]


@pytest.mark.parametrize("wrong", ["My_A", "a-", "a.b"])
def test_a_name_that_nobody_can_have_removes_nothing(tmp_path, wrong):
    (tmp_path / "a.yaml").write_text(tenant("a"))
    before = READER.read(tmp_path)
    (tmp_path / "a.yaml").write_text(tenant(wrong))
    after = retain(before, READER.read(tmp_path, before))
    assert keys(after) == ["a.default"]
    assert {one.field for one in after.refusals} == {"metadata.name"}


def test_tiers_are_called_by_name_where_they_have_one(tmp_path):
    file = tmp_path / "a.yaml"
    for wrong, field in [
        ("accuracy: '187'", "spec.tiers[only].accuracy"),
        ("accuracy: '90'\n    precision: Float8", "spec.tiers[only].precision"),
    ]:
        file.write_text(tenant("a").replace("accuracy: '90'", wrong))
        assert [one.field for one in READER.read(file).refusals] == [field]
    file.write_text(tenant("a").replace("name: only", "title: only"))
    assert {one.field for one in READER.read(file).refusals} == {"spec.tiers[0].name", "spec.tiers[0].title"}
    twice = yaml.safe_load(tenant("a"))
    twice["spec"]["tiers"] *= 2
    file.write_text(yaml.dump(twice, Dumper=yaml.SafeDumper))
    assert {one.field for one in READER.read(file).refusals} == {"spec.tiers[1].name"}
