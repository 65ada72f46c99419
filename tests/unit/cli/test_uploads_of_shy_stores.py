"""``penstock uploads list`` of stores that do not list what is open: it does not say that nothing is."""

from penstock.cli import uploads
from penstock.cli.uploads import ListArguments, list_command
from penstock.stores.base import Capability
from penstock.stores.memory import MemoryStore


class Silent(MemoryStore):
    """Lists no upload, whatever is open."""

    async def list_uploads(self, prefix=""):
        for nothing in ():
            yield nothing


def listed(monkeypatch, capsys, store):
    monkeypatch.setattr(uploads, "open_location", lambda *_, **__: store)
    list_command(ListArguments("memory://b/takes/"))
    return capsys.readouterr()


def test_what_a_store_does_not_list_is_not_said_to_be_closed(monkeypatch, capsys):
    said = listed(monkeypatch, capsys, Silent(capability=Capability(lists_uploads=False)))
    assert said.out == ""
    assert said.err.startswith("some may be open under memory://b/takes/, as the store does not list every upload")
    assert "`penstock recover --dry-run`" in said.err
    assert "no upload is open" not in said.err


def test_what_it_does_list_is_shown_and_that_there_may_be_more(monkeypatch, capsys):
    store = MemoryStore(capability=Capability(lists_uploads=False))
    uploads.anyio.run(store.create_multipart, "takes/1")
    said = listed(monkeypatch, capsys, store)
    assert "takes/1" in said.out
    assert said.err.startswith("more may be open under")


def test_a_store_without_multipart_upload_has_none(monkeypatch, capsys):
    said = listed(monkeypatch, capsys, Silent(capability=Capability(multipart=False, lists_uploads=False)))
    assert (said.out, said.err) == (
        "",
        "no upload is open under memory://b/takes/: the store has no multipart upload\n",
    )
