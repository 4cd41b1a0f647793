"""What runs beside training: hooks at the beginning and end of training, epochs and batches.

`fit` calls, in this order: on_train_begin, then for each epoch on_epoch_begin, on_train_batch_begin / _end for each
batch, on_test_begin / _end around validation, on_epoch_end, and at last on_train_end. A batch's logs are means over the
epoch so far.
"""

from .backup import BackupAndRestore
from .base import Callback, CallbackList, LambdaCallback
from .files import CSVLogger, ModelCheckpoint
from .history import History, ProgressBar
from .learning_rate import LearningRateScheduler, ReduceLROnPlateau
from .live_plot import LivePlot
from .stopping import EarlyStopping, TerminateOnNaN

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "LivePlot",
    "ModelCheckpoint",
    "ProgressBar",
    "ReduceLROnPlateau",
    "TerminateOnNaN",
]
