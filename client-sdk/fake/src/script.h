/* script.h: the script of faults: its lines, and which of them is due. No sockets, no clock. usher_fake.h explains the
 * language. */
#ifndef USHER_FAKE_SCRIPT_H
#define USHER_FAKE_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fake_action {
#define FAKE_ACTION(NAME, name, where, need, usual, most) FAKE_##NAME,
#include "client-sdk/fake/src/actions.def"
    FAKE_ACTION_COUNT
};
#define FAKE_BIT(action) (1u << (action))
/* Actions that change how an answer travels: where one of them is, there is an answer. */
#define FAKE_SHAPES                                                                                                    \
    (FAKE_BIT(FAKE_DELAY) | FAKE_BIT(FAKE_REORDER) | FAKE_BIT(FAKE_DUPLICATE) | FAKE_BIT(FAKE_TRICKLE) |               \
     FAKE_BIT(FAKE_GARBLE) | FAKE_BIT(FAKE_GARBAGE) | FAKE_BIT(FAKE_RENUMBER) | FAKE_BIT(FAKE_VERSION) |               \
     FAKE_BIT(FAKE_FORGE))

/* What happens to one request, push or connection. All zeros: nothing unusual. */
struct fake_fault {
    uint32_t actions;                   /* a FAKE_BIT of each */
    uint32_t number[FAKE_ACTION_COUNT]; /* behind each of them */
    uint16_t result;                    /* of refuse */
    uint16_t push;                      /* the opcode to push */
    bool push_behind;
};

static inline bool
fake_does(const struct fake_fault *fault, enum fake_action action)
{
    return (fault->actions & FAKE_BIT(action)) != 0;
}

enum fake_where { FAKE_AT_REQUEST = 1, FAKE_AT_PUSH = 2, FAKE_AT_CONNECT = 4, FAKE_AT_SENT = 8, FAKE_AT_READ = 16 };

#define FAKE_NAMES_MOST 16
struct fake_rule {
    char selector[96];
    enum fake_where where;
    bool any;
    uint16_t opcode[FAKE_NAMES_MOST];
    unsigned opcode_count;
    uint64_t bytes;              /* of FAKE_AT_SENT and FAKE_AT_READ */
    uint64_t first, last, times; /* which of them strike, and how often */
    bool dice;
    uint64_t lots;            /* the state of the dice */
    uint64_t chance;          /* of 2^32 */
    struct fake_fault *fault; /* fault_count of them: one, or those that the dice choose from */
    unsigned fault_count;
    uint64_t seen, struck;
};

struct fake_script {
    struct fake_rule *rule;
    size_t count, room;
    uint64_t struck[FAKE_ACTION_COUNT];
};

/* Add lines. False, and nothing added, when they can't be right: why says where and what. */
bool fake_script_add(struct fake_script *script, const char *lines, char *why, size_t why_size);
void fake_script_clear(struct fake_script *script);

/* The fault that is due for this request, push or connection (opcode 0), or one that does nothing. in_handshake: only
 * lines that name the request are meant, and of the dice only what a handshake can survive. */
struct fake_fault fake_script_due(struct fake_script *script, enum fake_where where, uint16_t opcode,
                                  bool in_handshake);

/* For a new connection: after how many bytes it is to be ended, and by which line. False: it isn't. */
bool fake_script_arm(struct fake_script *script, enum fake_where where, uint64_t *bytes, size_t *rule_no);
/* It is ended now: reset, or cut. */
bool fake_script_ends_by_reset(struct fake_script *script, size_t rule_no);

/* The number of an action, or FAKE_ACTION_COUNT. */
enum fake_action fake_action_named(const char *name);

#endif
