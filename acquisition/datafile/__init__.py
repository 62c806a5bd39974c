"""The record: tagged HDF5, a file a step, NeXus NXem with a HyperSpy face; a crash loses at most what was under way."""

from acquisition.datafile.camera import CameraFrames, Form
from acquisition.datafile.describe import describe
from acquisition.datafile.floods import ParallelBeam
from acquisition.datafile.frames import CameraImage, FrameWriter
from acquisition.datafile.index import write_index
from acquisition.datafile.reader import Recorded, Spectra, open_record
from acquisition.datafile.records import About, Column, DataFileError, PassRecord
from acquisition.datafile.rescue import Rescued, rescue
from acquisition.datafile.streams import EventWriter, ImageWriter
from acquisition.datafile.writer import DataFile

__all__ = [
    "About",
    "CameraFrames",
    "CameraImage",
    "Column",
    "DataFile",
    "DataFileError",
    "EventWriter",
    "Form",
    "FrameWriter",
    "ImageWriter",
    "ParallelBeam",
    "PassRecord",
    "Recorded",
    "Rescued",
    "Spectra",
    "describe",
    "open_record",
    "rescue",
    "write_index",
]
