/* How the awaitable of a dispatch is visited, freed and made again. */
#ifndef CQRS_FAST_FRAME_POOL_H
#define CQRS_FAST_FRAME_POOL_H

#include <Python.h>

static traverseproc cqrs_generated_traverse;
static destructor cqrs_generated_dealloc;

static void cqrs_set_life_slots(
    PyTypeObject *type, traverseproc traverse, destructor finalize, destructor dealloc
) {
    cqrs_generated_traverse = type->tp_traverse;
    type->tp_traverse = traverse;
    type->tp_finalize = finalize;
    cqrs_generated_dealloc = type->tp_dealloc;
    type->tp_dealloc = dealloc;
    PyType_Modified(type);
}

/* A pooled object as a new one. */
static inline PyObject *cqrs_revived(PyObject *dead) {
    PyObject_Init(dead, Py_TYPE(dead));
    PyObject_GC_Track(dead);
    return dead;
}

/* Finalize an object that is being freed; 0 if somebody holds it since. Other than
   PyObject_CallFinalizerFromDealloc, also one that a collection has finalized. */
static int cqrs_finalized(PyObject *dying) {
    Py_ssize_t held;
    Py_SET_REFCNT(dying, 1);
    Py_TYPE(dying)->tp_finalize(dying);
    held = Py_REFCNT(dying) - 1;
    if (held == 0) {
        Py_SET_REFCNT(dying, 0);
        return 1;
    }
    _Py_NewReference(dying);
    Py_SET_REFCNT(dying, held);
    return 0;
}

#endif
