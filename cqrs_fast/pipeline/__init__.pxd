from cqrs_fast.pipeline.awaiting cimport Await, say_await, take_answer
from cqrs_fast.pipeline.frame cimport (
    AGAIN, AWAIT, CACHE_HIT, ENDED, LATE, PROCEED, STOP, WAIT, Frame, Slot, Verdict,
)
from cqrs_fast.pipeline.frame_ops cimport (
    clear_outcome, frame_context, seen_context, set_error, set_result,
)
from cqrs_fast.pipeline.stage cimport RouteSpec, Stage
from cqrs_fast.waits.waiter cimport Waiter
