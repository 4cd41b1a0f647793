"""The five autoencoders as scikit-learn estimators: transformers and outlier detectors, for pipelines and searches.

    from scratchae.estimators import VanillaAutoencoder
    pipeline = make_pipeline(StandardScaler(), VanillaAutoencoder(latent_dims=4, random_state=0)).fit(X)
    codes, labels = pipeline.transform(X), pipeline.predict(X)

A label is -1 for an outlier and 1 for any other row. Attributes and methods are those of base.AutoencoderEstimator.
"""

try:
    import sklearn  # noqa: F401
except ImportError as error:
    raise ImportError("scratchae.estimators needs scikit-learn: pip install 'scratchae[sklearn]'") from error

from .convolutional import ConvolutionalAutoencoder
from .recurrent import RecurrentAutoencoder
from .sparse import SparseAutoencoder
from .vanilla import VanillaAutoencoder
from .variational import VariationalAutoencoder

__all__ = [
    "ConvolutionalAutoencoder",
    "RecurrentAutoencoder",
    "SparseAutoencoder",
    "VanillaAutoencoder",
    "VariationalAutoencoder",
]
