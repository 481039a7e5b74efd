/* play_ask.c: a line's request, as the connection would hand it to the core; see play_stage.h. */
#include "tests/play_stage.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/codec.h"

/* Who acts without being a person, and as which client. */
static const struct actor {
    const char *name;
    uint8_t role;
    uint32_t client_no;
} actors[] = {
    {"gateway", USHER_ROLE_GATEWAY, 1}, {"admin", USHER_ROLE_ADMIN, 2}, {"desk", USHER_ROLE_TERMINAL, 3},
    {"gate", USHER_ROLE_OBSERVER, 4},   {"nobody", USHER_ROLE_NONE, 0},
};

/* --- a line's request -------------------------------------------------------------------------------------- */
static const usher_message *
message_named(const char *name)
{
    size_t count;
    const usher_message *messages = usher_messages(&count);

    for (size_t i = 0; i < count; i++)
        if (strcmp(messages[i].name, name) == 0)
            return &messages[i];
    return NULL;
}

static void
give_token(struct core_asker *asker, const struct play_person *owner, const struct play_token *token)
{
    asker->has_token = 1;
    asker->user = owner->uuid;
    asker->queue_id = token->queue_id;
    asker->position = token->position;
}

/* token=...: see play.h. */
static void
choose_token(struct play *play, struct ask *ask, struct play_person *own, const char *text)
{
    struct play_person *owner = own;
    struct play_token odd;
    size_t nth = 0;
    const struct play_token *chosen = NULL;

    if (text != NULL && strcmp(text, "none") == 0)
        return;
    if (text == NULL) {
        nth = own->token_count;
    } else if (sscanf(text, "queue:%" SCNu32, &odd.queue_id) == 1) {
        for (nth = own->token_count; nth > 0 && own->tokens[nth - 1].queue_id != odd.queue_id;)
            nth--;
    } else if (sscanf(text, "%" SCNu32 ":%" SCNu64, &odd.queue_id, &odd.position) == 2) {
        chosen = &odd;
    } else {
        owner = people_reference(play->people, text, &nth);
        if (owner != NULL && nth == 0)
            nth = owner->token_count;
    }
    if (chosen == NULL && owner != NULL && nth > 0 && nth <= owner->token_count)
        chosen = &owner->tokens[nth - 1];
    if (chosen == NULL)
        play_fail(play, "the scene is wrong: no such token: %s", text != NULL ? text : own->name);
    give_token(&ask->request.asker, owner, chosen);
}

/* What the connection would refuse before the core hears of it. */
static void
check_connection(struct play *play, const struct ask *ask)
{
    unsigned role = USHER_ROLE_BIT(ask->request.asker.role);

    if ((ask->message->roles & role) == 0 && ask->message->kind != USHER_MESSAGE_INTERNAL)
        play_fail(play, "the scene is wrong: the connection answers ROLE_REFUSED");
    if (ask->message->token != USHER_TOKEN_NEED_NONE && !ask->request.asker.has_token &&
        (ask->message->bare & role) == 0)
        play_fail(play, "the scene is wrong: the connection answers TOKEN_MISSING");
}

/* FNV-1a over opcode, user and the encoded body without token and user: who is named by a token may be named by the
 * user field as well, and it is the same request. */
static uint64_t
fingerprint(struct play *play, const struct ask *ask, const usher_uuid *user)
{
    static uint8_t bytes[PLAY_REPLY_MOST];
    uint64_t hash = UINT64_C(14695981039346656037) ^ ask->message->opcode;
    const usher_field *field = text_field(ask->message->request, "user");
    uint8_t *named = (uint8_t *)ask->body + (field != NULL ? field->offset : 0), kept[sizeof user->bytes];

    memcpy(kept, named, field != NULL ? sizeof kept : 0);
    memset(named, 0, field != NULL ? sizeof kept : 0);
    size_t size = usher_encode(ask->message->request, ask->body, bytes, sizeof bytes);
    memcpy(named, kept, field != NULL ? sizeof kept : 0);
    if (size == SIZE_MAX)
        play_fail(play, "the scene is wrong: the request does not fit a frame");
    for (size_t i = 0; i < sizeof user->bytes; i++)
        hash = (hash ^ user->bytes[i]) * UINT64_C(1099511628211);
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * UINT64_C(1099511628211);
    return hash;
}

/* Fill who asks; returns the person whose token goes along, or NULL for those who have none of their own. */
static struct play_person *
fill_actor(struct play *play, struct core_asker *asker, const char *who)
{
    for (size_t i = 0; i < sizeof actors / sizeof *actors; i++) {
        size_t length = strlen(actors[i].name);
        if (strncmp(who, actors[i].name, length) != 0 || (who[length] != '\0' && who[length] != '.'))
            continue;
        asker->role = actors[i].role;
        asker->client_no = actors[i].client_no;
        asker->channel = who[length] == '.' ? (uint16_t)atoi(who + length + 1) : 0;
        return NULL;
    }
    asker->role = USHER_ROLE_GATEWAY;
    asker->client_no = 1;
    struct play_person *person = people_named(play->people, who);
    if (person == NULL || strpbrk(who, "=.:") != NULL)
        play_fail(play, "the scene is wrong: nobody is called %s", who);
    return person;
}

static void
fill_fields(struct play *play, struct ask *ask, const struct line *line, const char **token)
{
    char why[TEXT_WHY_SIZE], word[32];
    const usher_field *id = text_field(ask->message->request, "request_id");
    bool is_lookup = ask->message->opcode == USHER_OPCODE_LOOKUP;

    snprintf(word, sizeof word, "line %" PRIu64, play->line_count);
    if (id != NULL)
        text_set(play->people, ask->message->request, ask->body, "request_id", word, why);
    for (size_t i = 2; i < line->word_count; i++) {
        char *value = strchr(line->words[i], '=');
        if (value == NULL)
            play_fail(play, "the scene is wrong: not a field: %s", line->words[i]);
        *value++ = '\0';
        const char *name = line->words[i];
        if (strcmp(name, "token") == 0) {
            *token = value;
            continue;
        }
        if (strcmp(name, "id") == 0 && (id != NULL || is_lookup))
            name = "request_id";
        if (!text_set(play->people, ask->message->request, ask->body, name, value, why))
            play_fail(play, "%s", why);
    }
}

void
ask_make(struct play *play, const struct line *line, struct ask *ask)
{
    const char *token = NULL;

    memset(ask, 0, sizeof *ask);
    ask->message = line->word_count > 1 ? message_named(line->words[1]) : NULL;
    if (ask->message == NULL)
        play_fail(play, "the scene is wrong: no such message");
    ask->body = play_keep(play, ask->message->request->struct_size);
    struct core_asker *asker = &ask->request.asker;
    struct play_person *own = fill_actor(play, asker, line->words[0]);
    fill_fields(play, ask, line, &token);
    bool bare = ask->message->token == USHER_TOKEN_NEED_NONE || (own == NULL && token == NULL) ||
                (token != NULL && strcmp(token, "none") == 0);
    const usher_field *user = text_field(ask->message->request, "user");
    if (!bare) {
        struct play_person *asking = own != NULL ? own : people_named(play->people, line->words[0]);
        choose_token(play, ask, asking, token);
    } else if (user != NULL) {
        static const usher_uuid none;
        uint8_t *at = (uint8_t *)ask->body + user->offset;
        if (own != NULL && memcmp(at, &none, sizeof none) == 0)
            memcpy(at, own->uuid.bytes, sizeof own->uuid.bytes);
        memcpy(asker->user.bytes, at, sizeof asker->user.bytes);
    }
    ask->user = people_of_uuid(play->people, &asker->user);
    ask->request.opcode = ask->message->opcode;
    ask->request.body = ask->body;
    ask->request.fingerprint = fingerprint(play, ask, &asker->user);
    check_connection(play, ask);
}
