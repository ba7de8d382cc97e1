"""Is this input unlike the training data? Scores of one interface, one file each, and a detector.

A new score is a new file and a line in `registry`.
"""

from dhm.inference.novelty.combination import COMBINATION
from dhm.inference.novelty.detector import NoveltyDetector, available
from dhm.inference.novelty.registry import SCORES
from dhm.inference.novelty.storage import FILE

__all__ = ["COMBINATION", "FILE", "SCORES", "NoveltyDetector", "available"]
