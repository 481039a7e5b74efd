/* protocol.h: the wire's words in C: results, enums, bodies, and the tables that describe them.
 *
 * Everything here grows from the row files beside it (results.def, enums.def, structs.def, messages.def,
 * pushes.def).
 * No sockets, no allocation, no clock. SPEC.md describes the same bytes in prose. */
#ifndef USHER_PROTOCOL_H
#define USHER_PROTOCOL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What libusher exports: everything else is compiled with hidden visibility. */
#ifndef USHER_API
#define USHER_API __attribute__((visibility("default")))
#endif

#define USHER_VERSION_WIRE 1
#define USHER_HEADER_SIZE  32u
#define USHER_FRAME_MAX    65536u /* the largest frame that either side may send, header included */
#define USHER_UNKNOWN_MS   UINT64_MAX
#define USHER_GRADE_ANY    255u
#define USHER_POINTS_MAX   9007199254740991LL /* 2^53 - 1 (M1) */

typedef struct usher_uuid { uint8_t bytes[16]; } usher_uuid;
typedef struct usher_id { uint8_t bytes[16]; } usher_id;
typedef struct usher_key { uint8_t bytes[32]; } usher_key;
typedef struct usher_signature { uint8_t bytes[64]; } usher_signature;

/* --- results ---------------------------------------------------------------------------------------- */
typedef enum usher_result {
#define USHER_RESULT(value, name, class, text) USHER_##name = (value),
#include "results.def"
    USHER_RESULT_NONE = 65535 /* not on the wire: nothing was answered yet */
} usher_result;

typedef enum usher_result_class {
    USHER_CLASS_DONE,
    USHER_CLASS_CALLER,
    USHER_CLASS_DENIED,
    USHER_CLASS_REFUSED,
    USHER_CLASS_LATER
} usher_result_class;

/* The result's name ("HELD"), text and class. A value that is in no row gives "UNKNOWN", a text that says so,
 * and USHER_CLASS_CALLER. The strings live for ever. */
USHER_API const char *usher_result_name(unsigned result);
USHER_API const char *usher_result_text(unsigned result);
USHER_API usher_result_class usher_result_class_of(unsigned result);

/* --- enums: usher_role with USHER_ROLE_ADMIN and so on ------------------------------------------------ */
#define USHER_ENUM(enum_name, ENUM) typedef enum usher_##enum_name {
#define USHER_VALUE(ENUM, value, NAME, name, text) USHER_##ENUM##_##NAME = (value),
#define USHER_ENUM_END(enum_name) USHER_##enum_name##_end_ } usher_##enum_name;
#include "enums.def"

/* --- bodies: usher_join_request and so on ------------------------------------------------------------ */
#define USHER_C_U8(field, argument)        uint8_t field;
#define USHER_C_U16(field, argument)       uint16_t field;
#define USHER_C_U32(field, argument)       uint32_t field;
#define USHER_C_U64(field, argument)       uint64_t field;
#define USHER_C_I64(field, argument)       int64_t field;
#define USHER_C_UUID(field, argument)      usher_uuid field;
#define USHER_C_ID(field, argument)        usher_id field;
#define USHER_C_KEY(field, argument)       usher_key field;
#define USHER_C_SIGNATURE(field, argument) usher_signature field;
#define USHER_C_TEXT(field, argument)      char field[argument];
#define USHER_C_ENUM(field, argument)      uint8_t field;
#define USHER_C_BYTES(field, argument)     uint16_t field##_count; uint8_t field[argument];
#define USHER_C_NUMBERS32(field, argument) uint16_t field##_count; uint32_t field[argument];
#define USHER_C_NUMBERS64(field, argument) uint16_t field##_count; uint64_t field[argument];
#define USHER_STRUCT(name, text)                        typedef struct usher_##name {
#define USHER_FIELD(name, KIND, field, argument, text)  USHER_C_##KIND(field, argument)
#define USHER_ITEMS(name, item, field, most, text)      uint16_t field##_count; usher_##item field[most];
#define USHER_END(name)                                 } usher_##name;
#include "structs.def"

/* --- the rows as data, for whoever prints, parses or checks messages by name ------------------------- */
typedef enum usher_kind {
    USHER_KIND_U8,
    USHER_KIND_U16,
    USHER_KIND_U32,
    USHER_KIND_U64,
    USHER_KIND_I64,
    USHER_KIND_UUID,
    USHER_KIND_ID,
    USHER_KIND_KEY,
    USHER_KIND_SIGNATURE,
    USHER_KIND_TEXT,
    USHER_KIND_ENUM,
    USHER_KIND_BYTES,
    USHER_KIND_NUMBERS32,
    USHER_KIND_NUMBERS64,
    USHER_KIND_ITEMS
} usher_kind;

typedef struct usher_enum_value {
    uint8_t value;
    const char *name; /* "admin" */
    const char *text;
} usher_enum_value;

typedef struct usher_enum {
    const char *name; /* "role" */
    const usher_enum_value *values;
    size_t value_count;
} usher_enum;

struct usher_layout;
typedef struct usher_field {
    const char *name;
    const char *text;
    usher_kind kind;
    uint16_t most;         /* TEXT: its size; BYTES and lists: the greatest count; else 0 */
    size_t offset;         /* of the field in the C struct */
    size_t count_offset;   /* BYTES and lists: of its <field>_count (uint16_t); else 0 */
    const usher_enum *enumeration;   /* ENUM: its values; else NULL */
    const struct usher_layout *item; /* ITEMS: the item's layout; else NULL */
    size_t wire_offset;              /* of the field in the fixed part on the wire */
} usher_field;

typedef struct usher_layout {
    const char *name; /* "join_request" */
    const char *text;
    const usher_field *fields;
    size_t field_count;
    size_t struct_size; /* sizeof the C struct */
    size_t fixed_size;  /* bytes of the fixed part on the wire */
    size_t size_most;   /* bytes of the largest possible body on the wire */
} usher_layout;

typedef enum usher_message_kind {
    USHER_MESSAGE_CONNECTION,
    USHER_MESSAGE_QUERY,
    USHER_MESSAGE_COMMAND,
    USHER_MESSAGE_INTERNAL,
    USHER_MESSAGE_WATCH
} usher_message_kind;

typedef enum usher_token_need {
    USHER_TOKEN_NEED_NONE,
    USHER_TOKEN_NEED_ANY,
    USHER_TOKEN_NEED_ACTIVE,
    USHER_TOKEN_NEED_SPENT
} usher_token_need;

#define USHER_ROLE_BIT(role) (1u << (role)) /* of usher_message.roles and .bare */

typedef struct usher_message {
    uint16_t opcode;
    const char *constant; /* "JOIN" */
    const char *name;     /* "join" */
    const char *summary;
    usher_message_kind kind;
    usher_token_need token;
    uint8_t claims;
    uint8_t roles; /* USHER_ROLE_BIT of each role that may send it */
    uint8_t bare;  /* of each role that may leave the token out */
    const usher_layout *request;
    const usher_layout *reply;
} usher_message;

typedef enum usher_opcode {
#define USHER_MESSAGE(opcode, NAME, name, kind, token, claims, roles, bare, summary) USHER_OPCODE_##NAME = (opcode),
#include "messages.def"
    USHER_OPCODE_NONE = 0
} usher_opcode;

/* What the server sends without having been asked: a frame with the flag PUSH. */
typedef struct usher_push {
    uint16_t opcode;
    const char *constant; /* "GOING_AWAY" */
    const char *name;     /* "going_away" */
    const char *summary;
    const usher_layout *body;
} usher_push;

typedef enum usher_push_opcode {
#define USHER_PUSH(opcode, NAME, name, summary) USHER_PUSH_##NAME = (opcode),
#include "pushes.def"
    USHER_PUSH_NONE = 0
} usher_push_opcode;

/* All messages by ascending opcode, INTERNAL ones last; *count gets their number. They live for ever. */
USHER_API const usher_message *usher_messages(size_t *count);
/* The message with this opcode, INTERNAL ones included, or NULL. Constant time. */
USHER_API const usher_message *usher_message_of(unsigned opcode);
/* All pushes by ascending opcode, and the one with this opcode or NULL. They live for ever. */
USHER_API const usher_push *usher_pushes(size_t *count);
USHER_API const usher_push *usher_push_of(unsigned opcode);
/* All structs of structs.def in the order of their rows. */
USHER_API const usher_layout *const *usher_layouts(size_t *count);
/* All enums of enums.def in the order of their rows. */
USHER_API const usher_enum *const *usher_enums(size_t *count);
/* The layout of the body of every refused reply. */
USHER_API const usher_layout *usher_refusal_layout(void);
/* The name of an enum's value, or NULL if it is in no row. */
USHER_API const char *usher_enum_name(const usher_enum *enumeration, unsigned value);

#ifdef __cplusplus
}
#endif
#endif
