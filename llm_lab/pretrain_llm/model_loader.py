"The loader under the name that users of the earlier library know."
from ..loader import ModelLoader, download_model_manually, load_model_with_fallback

__all__ = ['ModelLoader', 'download_model_manually', 'load_model_with_fallback']
