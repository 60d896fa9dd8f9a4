"""The section of a specification that says what is protected."""

from veiltune.config import Section
from veiltune_privacy.dp.config import ExampleLevelConfig
from veiltune_privacy.he.config import EncryptionConfig


class PrivacyConfig(Section):
    """What a job protects, and how."""

    example_level: ExampleLevelConfig = ExampleLevelConfig()
    encryption: EncryptionConfig = EncryptionConfig()
