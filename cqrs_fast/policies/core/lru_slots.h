/* The slots of a type that holds a table of lru.h: Cython's own leave its plain pointers
 * out.
 */
#ifndef CQRS_FAST_LRU_SLOTS_H
#define CQRS_FAST_LRU_SLOTS_H

#include "lru.h"

static Py_ssize_t cqrs_lru_offset;
static traverseproc cqrs_lru_generated_traverse;
static inquiry cqrs_lru_generated_clear;

static cqrs_lru *cqrs_lru_of(PyObject *self) {
    return (cqrs_lru *)((char *)self + cqrs_lru_offset);
}

/* No reference may be taken in here. */
static int cqrs_lru_slot_traverse(PyObject *self, visitproc visit, void *arg) {
    int status = cqrs_lru_generated_traverse(self, visit, arg);
    return status ? status : cqrs_lru_traverse(cqrs_lru_of(self), visit, arg);
}

static int cqrs_lru_slot_clear(PyObject *self) {
    cqrs_lru_free(cqrs_lru_of(self));
    return cqrs_lru_generated_clear(self);
}

/* For the one such type of a module; its table is at `offset`. A `match` statement checks
   the flag. */
static void cqrs_lru_set_slots(PyTypeObject *type, Py_ssize_t offset) {
    cqrs_lru_offset = offset;
    cqrs_lru_generated_traverse = type->tp_traverse;
    type->tp_traverse = cqrs_lru_slot_traverse;
    cqrs_lru_generated_clear = type->tp_clear;
    type->tp_clear = cqrs_lru_slot_clear;
    type->tp_flags |= Py_TPFLAGS_MAPPING;
    PyType_Modified(type);
}

#endif
