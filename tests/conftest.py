"""What all tests share."""

import hypothesis

# a machine that is busy makes no test fail
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")
