"""Tasks that networks learn: those of the paper, others of the field, and the base class of user-defined ones."""

from dynatlas.tasks.cognitive import ContextDecision as ContextDecision
from dynatlas.tasks.cognitive import DelayedCue as DelayedCue
from dynatlas.tasks.cognitive import DelayedDiscrimination as DelayedDiscrimination
from dynatlas.tasks.cognitive import MatchToSample as MatchToSample
from dynatlas.tasks.cognitive import MemoryAngle as MemoryAngle
from dynatlas.tasks.cognitive import PathIntegration as PathIntegration
from dynatlas.tasks.cognitive import PerceptualDecision as PerceptualDecision
from dynatlas.tasks.context_integration import ContextIntegration as ContextIntegration
from dynatlas.tasks.flip_flop import FlipFlop as FlipFlop
from dynatlas.tasks.flip_flop import hold_last_pulse as hold_last_pulse
from dynatlas.tasks.placeholder import TaskFacts as TaskFacts
from dynatlas.tasks.placeholder import code_is_missing as code_is_missing
from dynatlas.tasks.placeholder import task_without_code as task_without_code
from dynatlas.tasks.registry import BUILT_IN as BUILT_IN
from dynatlas.tasks.registry import PAPER as PAPER
from dynatlas.tasks.registry import TASKS as TASKS
from dynatlas.tasks.registry import AnyTask as AnyTask
from dynatlas.tasks.registry import built_in_task as built_in_task
from dynatlas.tasks.registry import register_task as register_task
from dynatlas.tasks.sine_wave import SineWave as SineWave
from dynatlas.tasks.task import PROBE_SEED as PROBE_SEED
from dynatlas.tasks.task import Computation as Computation
from dynatlas.tasks.task import Task as Task
from dynatlas.tasks.task import Trial as Trial
from dynatlas.tasks.task import even_grid as even_grid
from dynatlas.tasks.task import without_none as without_none
