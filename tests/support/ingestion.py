"""Load, erase and discard as orchestration calls them: with what they have to do to the build file."""

from functools import partial

from ingestion.discard import discard as discard_files
from ingestion.erasure.erase import erase as erase_person
from ingestion.load import load as load_source
from warehouse.build_file import copy_ahead, drop_build_file

load = partial(load_source, drop_build=drop_build_file, on_new=copy_ahead)
erase = partial(erase_person, drop_build=drop_build_file)
discard = partial(discard_files, drop_build=drop_build_file)
