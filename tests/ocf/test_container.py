"""The container refuses what would hurt: bombs, paths that lead out, broken archives."""

import io
import zipfile

import pytest

from marketplace.core.errors import Refusal
from marketplace.ocf import container
from marketplace.ocf.container import load_package, parse_zip, render_zip, write_package


def pack(*entries, compress=zipfile.ZIP_DEFLATED):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compress) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return target.getvalue()


def refuse(call, *arguments):
    with pytest.raises(Refusal) as caught:
        call(*arguments)
    return caught.value.code


def test_a_bomb_is_cut_off_whatever_it_promises(monkeypatch):
    monkeypatch.setattr(container, "BYTES_MAX", 1_000_000)
    bomb = pack(("a.json", b"0" * 700_000), ("b.json", b"0" * 700_000))
    assert len(bomb) < 10_000
    assert refuse(parse_zip, bomb) == "package_too_large"


def test_too_many_files_are_refused():
    assert refuse(parse_zip, pack(*((f"{n}.json", b"{}") for n in range(201)))) == "package_too_large"


@pytest.mark.parametrize("name", ["../x.json", "/x.json", "a/../../x.json", "a\\x.json"])
def test_a_path_that_leads_out_is_refused(name):
    assert refuse(parse_zip, pack((name, b"{}"))) == "path_unsafe"


def test_a_file_twice_is_refused():
    with pytest.warns(UserWarning, match="Duplicate name"):
        twice = pack(("a.json", b"{}"), ("a.json", b"[]"))
    assert refuse(parse_zip, twice) == "package_unreadable"


def test_what_is_no_zip_is_refused():
    whole = pack(("a.json", b"{}" * 1000))
    assert refuse(parse_zip, b"") == "package_unreadable"
    assert refuse(parse_zip, whole[:-30]) == "package_unreadable"
    broken = bytearray(whole)
    broken[40] ^= 0xFF
    assert refuse(parse_zip, bytes(broken)) == "package_unreadable"


def test_a_zip_of_a_folder_is_read_from_the_manifests_folder():
    files = parse_zip(pack(("x/Manifest.ocf.json", b"{}"), ("x/A.json", b"[]"), ("__MACOSX/._A.json", b"")))
    assert files == {"Manifest.ocf.json": b"{}", "A.json": b"[]"}


def test_equal_files_make_equal_zips_in_any_order():
    assert render_zip({"a": b"1", "b": b"2"}) == render_zip({"b": b"2", "a": b"1"})


def test_a_package_goes_into_a_new_folder_only(tmp_path):
    write_package(tmp_path / "one", {"a.json": b"{}"})
    assert load_package(tmp_path / "one") == {"a.json": b"{}"}
    assert refuse(write_package, tmp_path / "one", {"a.json": b"{}"}) == "folder_not_empty"
    write_package(tmp_path / "one.zip", {"a.json": b"{}"})
    assert load_package(tmp_path / "one.zip") == {"a.json": b"{}"}
    assert refuse(load_package, tmp_path / "two.zip") == "package_unreadable"
