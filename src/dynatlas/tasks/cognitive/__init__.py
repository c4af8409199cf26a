"""Tasks of cognitive neuroscience: decisions, short-term memory, and angles."""

from dynatlas.tasks.cognitive.context_decision import ContextDecision as ContextDecision
from dynatlas.tasks.cognitive.delayed_cue import DelayedCue as DelayedCue
from dynatlas.tasks.cognitive.delayed_discrimination import DelayedDiscrimination as DelayedDiscrimination
from dynatlas.tasks.cognitive.match_to_sample import MatchToSample as MatchToSample
from dynatlas.tasks.cognitive.memory_angle import MemoryAngle as MemoryAngle
from dynatlas.tasks.cognitive.path_integration import PathIntegration as PathIntegration
from dynatlas.tasks.cognitive.perceptual_decision import PerceptualDecision as PerceptualDecision
