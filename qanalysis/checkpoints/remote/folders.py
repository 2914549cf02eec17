"""What lies beside a file of another machine? In a repository what its list says; on a plain server what answers."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import compress
from urllib.parse import quote, unquote

from qanalysis.checkpoints.data_file import Folder
from qanalysis.checkpoints.evidence import EVIDENCE_NAMES
from qanalysis.checkpoints.folder_choice import Numbered, is_index
from qanalysis.checkpoints.remote.addresses import Url
from qanalysis.checkpoints.remote.remote_file import RemoteFile
from qanalysis.checkpoints.remote.session import MOST_AT_ONCE, Session
from qanalysis.checkpoints.shards import INDEX_LIMIT_BYTES
from qanalysis.checkpoints.source import CheckpointError
from qanalysis.notation import shorten

#: Parts of a numbered set that are looked for because one of them says so.
_MOST_PARTS = 1000
_ASKED_FOR = (".safetensors", ".bin", ".pt", ".pth", ".json")  # kinds that have configuration beside them


class RemoteFolder(Folder):
    """A folder of another machine. Where one part of a set is opened, the beginnings of all are fetched at once."""

    def __init__(self) -> None:
        self._waiting: dict[str, RemoteFile] = {}
        self._begun: set[str] = set()

    def open(self, name: str) -> RemoteFile:
        part = Numbered.parse(name)
        if part and part.key not in self._begun:
            self._begun.add(part.key)
            self._begin([one for one in self._list_parts(part) if one not in self._waiting])
        return self._waiting.pop(name, None) or self._reach(name)

    def _begin(self, names: Iterable[str]) -> list[bool]:
        """Fetch the beginnings of files; of each whether it could be had. The one that opens it is told why not."""
        with ThreadPoolExecutor(MOST_AT_ONCE, "beginning") as pool:
            return list(pool.map(self._begin_one, names))

    def _begin_one(self, name: str) -> bool:
        try:
            file = self._reach(name)
            file.read_header(0, 1)
        except CheckpointError:
            return False
        self._waiting[name] = file
        return True

    @abstractmethod
    def _list_parts(self, part: Numbered) -> list[str]:
        """Names of the files that belong to the set of one."""

    @abstractmethod
    def _reach(self, name: str) -> RemoteFile:
        """A file that was not begun yet."""


class HubFolder(RemoteFolder):
    """A folder of a repository: `sizes` has all files of it by path, with their bytes (None: not said).

    `locate` gives the address of a path; with `pinned` that names a commit.
    """

    def __init__(
        self,
        name: str,
        session: Session,
        sizes: Mapping[str, int | None],
        locate: Callable[[str], Url],
        *,
        inside: str = "",
        pinned: bool = True,
    ) -> None:
        super().__init__()
        self.name = name
        self._session, self._sizes, self._locate = session, sizes, locate
        self._begin_of_path = f"{inside}/" if inside else ""
        self._pinned = pinned

    def list_names(self) -> list[str]:
        begin = self._begin_of_path
        names = (path.removeprefix(begin) for path in self._sizes if path.startswith(begin))
        return sorted(name for name in names if "/" not in name and not name.startswith("."))

    def _list_parts(self, part: Numbered) -> list[str]:
        parts = filter(None, map(Numbered.parse, self.list_names()))
        return [one.name for one in parts if one.key == part.key]

    def _reach(self, name: str) -> RemoteFile:
        path = f"{self._begin_of_path}{name}"
        if path not in self._sizes:
            raise CheckpointError(
                f"{shorten(path, 80)!r} is not in the repository {shorten(self.name, 80)!r} at this revision; check "
                "the spelling"
            )
        shown, size = name.rpartition("/")[2], self._sizes[path]
        return RemoteFile(self._session, self._locate(path), shown, size=size, pinned=self._pinned)


class UrlFolder(RemoteFolder):
    """What lies beside one address: configuration and other parts of a set, as far as their server has them.

    Beside an address with a query nothing is looked for: it may be signed for one file.
    """

    def __init__(self, session: Session, url: Url) -> None:
        super().__init__()
        self.name = shorten(url.host, 80)
        self.own_name = unquote(url.target.partition("?")[0].rpartition("/")[2])
        self._session, self._url = session, url
        self._is_alone = "?" in url.target
        self._names: list[str] | None = None

    def list_names(self) -> list[str]:
        """The file itself, the parts of its set where it is numbered, and configuration: those that answer."""
        if self._names is None:
            beside = [] if self._is_alone else list(dict.fromkeys(self._guess_beside()))
            self._names = sorted({self.own_name, *compress(beside, self._begin(beside))})
        return self._names

    def read_own(self) -> RemoteFile:
        """The file of the address itself, which the next that opens it gets."""
        if self.own_name not in self._waiting:
            self._waiting[self.own_name] = self._reach(self.own_name)
        return self._waiting[self.own_name]

    def _guess_beside(self) -> Iterator[str]:
        part = Numbered.parse(self.own_name)
        if part:
            self._begun.add(part.key)
            yield from (name for name in self._list_parts(part) if name != self.own_name)
        if is_index(self.own_name):
            yield from self._read_shards()
        if self.own_name.lower().endswith(_ASKED_FOR):
            yield from EVIDENCE_NAMES

    def _read_shards(self) -> list[str]:
        """The shards that the file names, where it is an index of some; the reader of indexes tells what is wrong."""
        file = self.read_own()
        try:
            shards = json.loads(file.read_header(0, min(file.size, INDEX_LIMIT_BYTES)))["weight_map"].values()
            return sorted({name for name in shards if not {"/", "\\"} & set(name)})[:_MOST_PARTS]
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return []

    def _list_parts(self, part: Numbered) -> list[str]:
        first = min(part.number, 1)
        is_set = not self._is_alone and 1 < part.count <= _MOST_PARTS and part.number < first + part.count
        return [part.rename(number) for number in range(first, first + part.count)] if is_set else []

    def _reach(self, name: str) -> RemoteFile:
        url = self._url if name == self.own_name else self._beside(name)
        return RemoteFile(self._session, url, shorten(name.rpartition("/")[2], 200))

    def _beside(self, name: str) -> Url:
        if self._is_alone:
            raise CheckpointError(
                f"{self._url.shown} has a query, which may be signed for it alone: {shorten(name, 80)!r} beside it is "
                "not looked for; download the folder"
            )
        target = f"{self._url.target.rpartition('/')[0]}/{quote(name)}"
        return Url(self._url.scheme, self._url.host, self._url.port, target)
