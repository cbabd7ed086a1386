"""The use case: update stored tags from stored vectors, without the object store or the image encoder."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from worker import catalog, db, outbox, tagging
from worker.catalog.bulk_read import Block, TagColumns
from worker.catalog.bulk_write import KeptTag, NewTag
from worker.catalog.spaces import Space
from worker.db import Connection, Engine, transaction
from worker.errors import NotFoundError
from worker.pipeline.taxonomies.active_taxonomies import ActiveTagger
from worker.tagging import AbstentionCounts, Decisions, StoredAnswers, TagDiff, Tagger, Vocabulary
from worker.types import MODEL_SOURCES

#: Most images read, scored and written at once: a few hundred milliseconds, and megabytes.
BLOCK = 8_192
#: Tags of these, about: where images have many each, fewer are taken. A hundred bytes each, while they are written.
TAGS = 100_000
#: Images of the first block, whose number of tags nobody knows; how much larger than one block the next may be; and how
#: many are taken however many tags they have.
_FIRST, _GROWTH, _LEAST = 512, 4, 16
#: Seconds until images that workers are writing are checked again.
_PAUSE = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class RetagProgress:
    """The progress of a retagging."""

    done: int  # images
    total: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RetagResult:
    """The result of a run."""

    images: int  # examined
    written: int  # with anything written, even if only a version
    changed: int  # that gained or lost a label
    abstentions: AbstentionCounts  # among the images examined


@dataclass(frozen=True, kw_only=True, slots=True)
class TagComparison:
    """Images of a space, and how what is stored about them differs from what would be written."""

    block: Block
    found: TagDiff
    decisions: tuple[Decisions, ...]


class TagComparer:
    """Scores stored vectors by some taxonomies, and compares with stored tags. Writes nothing."""

    def __init__(self, engine: Engine, space: Space, tagger: Tagger) -> None:
        """Read nothing yet."""
        self._engine = engine.execution_options(isolation_level="REPEATABLE READ")
        self._space, self._tagger, self._size = space, tagger, min(_FIRST, BLOCK)
        self._versions = {each.name: each.version for each in tagger.taxonomies}
        self.vocabulary = Vocabulary.of(tagger.taxonomies)

    def everything(self, after: int = 0) -> Iterator[TagComparison]:
        """All images after ``after``, in order. The next ones are read while the caller works."""
        with ThreadPoolExecutor(1, thread_name_prefix="read") as pool:
            reading = pool.submit(self._read_after, after, self._size)
            while len((block := reading.result()).images):
                reading = pool.submit(self._read_after, int(block.images[-1]), self._size)
                yield self._compared(block)

    def by_id(self, images: Sequence[int]) -> Iterator[TagComparison]:
        """Some images; those that are gone are left out."""
        start = 0
        while start < len(images):
            some = images[start : start + self._size]
            start += len(some)
            yield self._compared(self._read_images(some))

    def _read_after(self, after: int, limit: int) -> Block:
        with transaction(self._engine) as connection:
            return catalog.bulk_read.read_after(
                connection,
                self._space,
                after,
                limit=limit,
                numbering=self.vocabulary,
                versions=self._versions,
            )

    def _read_images(self, images: Sequence[int]) -> Block:
        with transaction(self._engine) as connection:
            return catalog.bulk_read.read_images(
                connection, self._space, images, numbering=self.vocabulary, versions=self._versions
            )

    def _compared(self, block: Block) -> TagComparison:
        decisions = self._tagger.decide(block.vectors)
        new = tagging.answers(decisions, self.vocabulary)
        tags = block.tags
        self._sized(len(block.images), max(len(tags.images), len(new.images)))
        return TagComparison(block=block, found=tagging.tag_diff(stored_answers(tags), new), decisions=decisions)

    def count_abstentions(self, each: TagComparison, into: AbstentionCounts) -> None:
        """Count a block's images without a label, except where a person decided."""
        people, answers = each.block.decided, self.vocabulary.answers
        names = np.array([answers[number][0] for number in people.answers.tolist()], dtype=object)
        hidden = {name: people.images[names == name] for name in set(names.tolist())}
        into.add(each.decisions, len(each.block.images), hidden)

    def _sized(self, images: int, tags: int) -> None:
        """Choose the size of the blocks to come, by what was met in one."""
        if images:
            fitting = max(TAGS * images // max(tags, 1), _LEAST)
            self._size = min(fitting, _GROWTH * self._size, BLOCK)


def stored_answers(tags: TagColumns) -> StoredAnswers:
    """What the catalog has, to be compared with what would be written."""
    return StoredAnswers(
        images=tags.images,
        answers=tags.answers,
        score=tags.score,
        probability=tags.probability,
        sources=tags.sources,
        ids=tags.ids,
        current=tags.current,
    )


class Retagger:
    """Gives every image of a space the tags of the revision in force; continues where an earlier run ended.

    Any number of workers may write into the space meanwhile. They write by the same revision: see ``revisions``.
    """

    def __init__(
        self,
        engine: Engine,
        space: Space,
        labels: ActiveTagger,
        *,
        progress: Callable[[RetagProgress], None] = lambda _: None,
    ) -> None:
        """Read nothing yet."""
        self._engine, self._space, self._labels, self._progress = engine, space, labels, progress
        self._comparer = TagComparer(engine, space, labels.tagger)
        self._versions = {each.name: each.version for each in labels.tagger.taxonomies}

    def run(self) -> RetagResult:
        """Process all images that were not examined yet.

        Raises:
            OutdatedTaxonomiesError: another revision is in force by now, and its retagging will do the rest.
            NotFoundError: the space was dropped meanwhile.
        """
        space, revision = self._space.id, self._labels.revision
        with transaction(self._engine) as connection:
            state = catalog.taxonomy_revisions.begin_retagging(connection, space, revision)
            total, _ = (0, True) if state.finished_at else catalog.bulk_read.count_vectors(connection, space)
        if state.finished_at:
            return RetagResult(images=0, written=0, changed=0, abstentions=AbstentionCounts())
        images = written = changed = 0
        abstentions = AbstentionCounts()
        for each in self._comparer.everything(state.after):
            self._comparer.count_abstentions(each, abstentions)
            in_block = self._settle(each)
            written, changed = written + in_block[0], changed + in_block[1]
            images += len(each.block.images)
            with transaction(self._engine) as connection:
                last = int(each.block.images[-1])
                catalog.taxonomy_revisions.advance(
                    connection, space, revision, after=last, images=len(each.block.images)
                )
            self._progress(RetagProgress(done=state.images + images, total=max(total, state.images + images)))
        with transaction(self._engine) as connection:
            catalog.taxonomy_revisions.hold(connection, revision)
            catalog.taxonomy_revisions.finish_retagging(connection, space, revision)
        return RetagResult(images=images, written=written, changed=changed, abstentions=abstentions)

    def _settle(self, compared: TagComparison) -> tuple[int, int]:
        """Write what a block needs; images that are being written, or were written since, are compared again.

        Returns:
            Images of which anything was written, and those of which a label came or went.
        """
        written = changed = 0
        rest: list[int] = []
        waiting = [compared]
        while waiting:
            for each in waiting:
                done, left = db.again(lambda each=each: self._write(each))  # type: ignore[misc]
                written, changed, rest = written + len(each.found.images) - len(left), changed + done, rest + left
            if rest:
                time.sleep(_PAUSE)
            waiting, rest = list(self._comparer.by_id(sorted(rest))), []
        return written, changed

    def _write(self, each: TagComparison) -> tuple[int, list[int]]:
        """(images of which a label came or went, images that are to be compared again)."""
        rows, block = each.found.images, each.block
        if not len(rows):
            return 0, []
        images = block.images[rows].tolist()
        space, revision = self._space.id, self._labels.revision
        with transaction(self._engine) as connection:
            catalog.taxonomy_revisions.hold(connection, revision)
            catalog.spaces.hold_active(connection)
            if not catalog.spaces.hold(connection, space):
                raise NotFoundError(f"space {space} was dropped meanwhile")
            free = catalog.bulk_write.lock_unchanged(connection, space, images, block.written[rows].tolist())
            changed = self._write_those(connection, each, free) if free else 0
            catalog.taxonomy_revisions.note_changed(connection, space, revision, changed)
        return changed, [image for image in images if image not in free]

    def _write_those(self, connection: Connection, each: TagComparison, free: frozenset[int]) -> int:
        changed = catalog.bulk_write.write_differences(
            connection,
            self._space.id,
            gone=_gone(each, free),
            kept=self._kept(each, free),
            come=self._come(each, free),
        )
        active = catalog.spaces.active(connection)  # by now: another one may have been activated meanwhile
        if active is not None and active.id == self._space.id:  # nobody reads the tags of another one
            # Also what is hidden: it shows when people withdraw what they decided, which they may do in SQL.
            entries = [outbox.NewEntry(kind="enriched", ref=change.ref, etag=change.etag) for change in changed]
            outbox.append(connection, entries)
        return sum(not change.hidden for change in changed)

    def _kept(self, each: TagComparison, free: frozenset[int]) -> Iterator[KeptTag]:
        found = each.found
        old, new = found.kept_stored[found.renewed], found.kept_new[found.renewed]
        columns = (
            each.block.images[found.stored.images[old]].tolist(),
            found.stored.ids[old].tolist(),
            found.stored.answers[old].tolist(),
            found.new.score[new].tolist(),
            found.new.probability[new].tolist(),
            found.new.sources[new].tolist(),
            (found.stored.suggested[old] != found.new.suggested[new]).tolist(),
        )
        answers = self._comparer.vocabulary.answers
        for image, id_, answer, score, probability, source, turns in zip(*columns, strict=True):
            if image in free:
                yield KeptTag(
                    id=id_,
                    version=self._versions[answers[answer][0]],
                    score=score,
                    probability=probability,
                    source=MODEL_SOURCES[source],
                    turns=turns,
                )

    def _come(self, each: TagComparison, free: frozenset[int]) -> Iterator[NewTag]:
        found = each.found
        columns = (
            each.block.images[found.new.images[found.come]].tolist(),
            found.new.answers[found.come].tolist(),
            found.new.score[found.come].tolist(),
            found.new.probability[found.come].tolist(),
            found.new.sources[found.come].tolist(),
        )
        answers = self._comparer.vocabulary.answers
        for image, answer, score, probability, source in zip(*columns, strict=True):
            if image in free:
                taxonomy, label = answers[answer]
                yield NewTag(
                    image=image,
                    taxonomy=taxonomy,
                    version=self._versions[taxonomy],
                    label=label,
                    score=score,
                    probability=probability,
                    source=MODEL_SOURCES[source],
                )


def _gone(each: TagComparison, free: frozenset[int]) -> Iterator[int]:
    stored, gone = each.found.stored, each.found.gone
    images = each.block.images[stored.images[gone]].tolist()
    for image, id_ in zip(images, stored.ids[gone].tolist(), strict=True):
        if image in free:
            yield id_
