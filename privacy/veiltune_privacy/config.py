"""The section of a specification that says what is protected."""

from veiltune.config import Section
from veiltune_privacy.he.config import EncryptionConfig


class PrivacyConfig(Section):
    """What a job protects, and how."""

    encryption: EncryptionConfig = EncryptionConfig()
