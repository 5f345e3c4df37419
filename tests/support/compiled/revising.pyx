# cython: language_level=3, binding=False
"""Stage.revise and the steps of a Revision, for tests in Python."""

from cqrs_fast.pipeline.stage cimport Revision, Stage


cdef class Change:
    """A Revision whose steps a test takes one by one."""

    cdef readonly Revision element      # stands in a bus's list in place of the stage

    @property
    def stage(self):
        return self.element.stage

    def apply(self):
        self.element.apply()

    def settle(self):
        self.element.finish()


def revise(Stage stage not None, **settings):
    """Return the Change of a stage; None for one without a state to keep."""
    cdef Change change = Change()
    change.element = stage.revise(settings)
    return None if change.element is None else change
