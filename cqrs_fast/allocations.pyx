"""Count what Python's allocators are asked for.

What is made and freed again within one call is counted too, where tracemalloc only
tells what is left, and how much there was at the peak.
"""

cdef extern from *:
    """
    static struct { long long made, freed, bytes; } cqrs_counted;
    static PyMemAllocatorEx cqrs_inner[2];
    static const PyMemAllocatorDomain cqrs_domains[2] = {
        PYMEM_DOMAIN_MEM, PYMEM_DOMAIN_OBJ
    };

    /* Both domains are used with the GIL held, so plain counters do. */
    static void *cqrs_made(void *block, size_t size) {
        if (block != NULL) {
            cqrs_counted.made++;
            cqrs_counted.bytes += (long long)size;
        }
        return block;
    }

    static void *cqrs_malloc(void *context, size_t size) {
        PyMemAllocatorEx *inner = (PyMemAllocatorEx *)context;
        return cqrs_made(inner->malloc(inner->ctx, size), size);
    }

    static void *cqrs_calloc(void *context, size_t count, size_t size) {
        PyMemAllocatorEx *inner = (PyMemAllocatorEx *)context;
        return cqrs_made(inner->calloc(inner->ctx, count, size), count * size);
    }

    static void *cqrs_realloc(void *context, void *block, size_t size) {
        PyMemAllocatorEx *inner = (PyMemAllocatorEx *)context;
        void *moved = inner->realloc(inner->ctx, block, size);
        if (block != NULL && moved != NULL) {
            cqrs_counted.freed++;
        }
        return cqrs_made(moved, size);
    }

    static void cqrs_free(void *context, void *block) {
        PyMemAllocatorEx *inner = (PyMemAllocatorEx *)context;
        if (block != NULL) {
            cqrs_counted.freed++;
        }
        inner->free(inner->ctx, block);
    }

    static void cqrs_count_from_now(void) {
        int i;
        memset(&cqrs_counted, 0, sizeof cqrs_counted);
        for (i = 0; i < 2; i++) {
            PyMemAllocatorEx hook = {
                &cqrs_inner[i], cqrs_malloc, cqrs_calloc, cqrs_realloc, cqrs_free
            };
            PyMem_GetAllocator(cqrs_domains[i], &cqrs_inner[i]);
            PyMem_SetAllocator(cqrs_domains[i], &hook);
        }
    }

    static void cqrs_count_no_more(void) {
        int i;
        for (i = 0; i < 2; i++) {
            PyMem_SetAllocator(cqrs_domains[i], &cqrs_inner[i]);
        }
    }
    """
    long long MADE "cqrs_counted.made"
    long long FREED "cqrs_counted.freed"
    long long BYTES "cqrs_counted.bytes"
    void count_from_now "cqrs_count_from_now"() noexcept
    void count_no_more "cqrs_count_no_more"() noexcept

cdef bint counting = False


def count_allocations(call):
    """Call `call` and return (blocks made, bytes of them, blocks made and not freed).

    What other threads allocate meanwhile is counted too. A block that grows counts as
    freed and made. Not to be nested; nothing may start or stop tracemalloc meanwhile.
    """
    global counting
    cdef long long made, freed, size
    if counting:
        raise RuntimeError("allocations are being counted already")
    counting = True
    count_from_now()
    try:
        call()
    finally:
        made, freed, size = MADE, FREED, BYTES
        count_no_more()
        counting = False
    return made, size, made - freed
