/* client.c: who may connect: invitation by a one-time code, enrolment, revocation (DESIGN section 6).
 *
 * The code itself is never stored: the inviter sends its hash, the invited sends the code. */
#include "server/core/internal.h"

#include <sodium.h>

static void
client_changed(struct core *core)
{
    core_emit(core, USHER_EVENT_CLIENT_CHANGED, 0, (struct event_row){0});
}

usher_result
core_invite(struct core *core, const struct core_request *request, const void *body, void *out)
{
    const usher_invite_request *ask = body;
    usher_invite_reply *reply = out;

    (void)request;
    if (ask->role == USHER_ROLE_NONE || ask->name[0] == '\0')
        return USHER_CATALOGUE_INVALID;
    if (core->house->last_client_no >= CORE_CLIENTS_MOST)
        return core_refuse_detail(core, USHER_TOO_MANY, CORE_CLIENTS_MOST);
    if (store_find_code(core->store, &ask->code_hash) != 0)
        return USHER_KEY_IN_USE;

    struct client_record client = {.client_no = ++core_house(core)->last_client_no,
                                   .role = ask->role,
                                   .state = USHER_CLIENT_STATE_INVITED,
                                   .channel = ask->channel,
                                   .code_hash = ask->code_hash,
                                   .since_ms = core->now_ms};
    memcpy(client.name, ask->name, sizeof client.name);
    store_put_client(core->store, &client);
    client_changed(core);
    reply->client_id = (uint32_t)client.client_no;
    return USHER_OK;
}

usher_result
core_enrol(struct core *core, const struct core_request *request, const void *body, void *out)
{
    const usher_enrol_request *ask = body;
    usher_enrol_reply *reply = out;
    struct client_record client;
    usher_key code_hash;

    (void)request;
    crypto_generichash(code_hash.bytes, sizeof code_hash.bytes, ask->code.bytes, sizeof ask->code.bytes, NULL, 0);
    uint64_t client_no = store_find_code(core->store, &code_hash);
    if (client_no == 0)
        return USHER_CODE_UNKNOWN;
    store_get_client(core->store, client_no, &client);
    bool same_key = memcmp(&client.client_key, &ask->client_key, sizeof client.client_key) == 0;
    if (client.state == USHER_CLIENT_STATE_REVOKED)
        return USHER_CLIENT_REVOKED;
    if (client.state == USHER_CLIENT_STATE_ENROLLED && !same_key)
        return USHER_CODE_UNKNOWN;
    uint64_t other_no = store_find_client(core->store, &ask->client_key);
    if (other_no != 0 && other_no != client_no)
        return USHER_KEY_IN_USE;

    if (client.state == USHER_CLIENT_STATE_INVITED) { /* else a retry whose first reply was lost */
        client.state = USHER_CLIENT_STATE_ENROLLED;
        client.client_key = ask->client_key;
        client.since_ms = core->now_ms;
        store_put_client(core->store, &client);
        client_changed(core);
    }
    reply->client_id = (uint32_t)client_no;
    reply->role = client.role;
    memcpy(reply->name, client.name, sizeof reply->name);
    return USHER_OK;
}

usher_result
core_clients(struct core *core, const struct core_request *request, const void *body, void *out)
{
    const usher_clients_request *ask = body;
    usher_clients_reply *reply = out;
    uint64_t client_no = (uint64_t)ask->after_client_id + 1;

    (void)request;
    for (; client_no <= core->house->last_client_no; client_no++) {
        const struct client_record *client = store_see_client(core->store, client_no);
        if (reply->client_count == sizeof reply->client / sizeof *reply->client) {
            reply->more = USHER_FLAG_YES;
            break;
        }
        usher_client_row *row = &reply->client[reply->client_count++];
        row->client_id = (uint32_t)client->client_no;
        row->role = client->role;
        row->state = client->state;
        row->channel = client->channel;
        row->client_key = client->client_key;
        row->since_ms = client->since_ms;
        memcpy(row->name, client->name, sizeof row->name);
    }
    return USHER_OK;
}

usher_result
core_revoke(struct core *core, const struct core_request *request, const void *body, void *out)
{
    const usher_revoke_request *ask = body;
    usher_revoke_reply *reply = out;
    struct client_record client;

    (void)request;
    if (!store_get_client(core->store, ask->client_id, &client))
        return USHER_CLIENT_NOT_FOUND;
    reply->before = client.state;
    if (client.state == USHER_CLIENT_STATE_REVOKED)
        return USHER_OK;
    client.state = USHER_CLIENT_STATE_REVOKED;
    client.since_ms = core->now_ms;
    store_put_client(core->store, &client);
    client_changed(core);
    return USHER_OK;
}
