#!lua name=usher
-- redis.lua: the bench's jobs as a library of Redis 7 functions, written as a team would that is sure of its craft: one
-- FCALL a job, the fewest keys that can tell the truth, packed values, small hashes that Redis keeps compact, strings cut
-- by the client where that saves Lua the work. With appendonly yes and appendfsync always a reply leaves once its writes
-- are on the disk.
--
--   p:<user>       a user's place: queue and position (12 bytes), state, until (ms), the token's end; then date and seat
--                  of each hold
--   line:<queue>   everybody who ever joined, in order: a list, whose length after a push is the position
--   q:<queue>      open (1) or paused (0); the position up to which it has admitted; how many behind that have left
--   left:<queue>   the positions of those who left before their turn: a sorted set, small as a rule. So a rank is a
--                  subtraction: no walk through a million members
--   d:<date>       a date: field 0 is its row (seat count, price, start), field n what became of seat n; a free
--                  seat has no field
--   b:<user>       balance, and the id of the last ledger entry
--   r:<id>         the answer that a request id got, behind the fingerprint of its body. Of charge and pay it is kept for
--                  ever and is the ledger entry as well: kind, amount, balance, the user's entry before it
--   payments       a stream: each payment, which is at once the event that tells of it
--
-- A token is `line`, the 12 bytes of its place, and `proof`, a keyed hash over them and the user's key.
-- What it does less than Usher stands in docs/performance.md.

local SECRET = 'not a secret: a bench of one machine'
local WAITING, ACTIVE, USED = 1, 2, 3
local HELD, SOLD = 1, 2
local REST, SEAT = '<BI8I8', '<BI8I8c16'
local PLACE_SIZE, HOLD_SIZE = 29, 5
local ENTRY, ENTRY_SIZE = '<c1c16I8I8c16', 49
local NO_ENTRY = '\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0'
local GRACE_MS, TOKEN_MS, LEASE_MS = 30000, 86400000, 86400000 -- HOLD_MS and ACTIVE_MS are set by the bench
local ID_SECONDS = 7 * 86400
local SEATS_PER_USER, HOLDS_PER_USER = 65535, 16 -- as the bench sets Usher's policies
local CHARGE_MAX, BALANCE_MAX = 1000000000, 9007199254740991

local function refuse(name)
    return redis.error_reply('REFUSED ' .. name)
end

local function now_ms()
    local now = redis.call('TIME')
    return now[1] * 1000 + math.floor(now[2] / 1000)
end

local function prove(key, line)
    return redis.sha1hex(SECRET .. key .. line .. SECRET)
end

-- What the row of a place says that a token stands for: state, until, end of the token; or nil and why not.
local function check_place(key, row, line, proof)
    if prove(key, line) ~= proof then return nil, refuse('TOKEN_FORGED') end
    if not row or row:sub(1, 12) ~= line then return nil, refuse('TOKEN_EXPIRED') end
    return struct.unpack(REST, row, 13)
end

-- The same for a job that needs an active token: until, end.
local function check_active(key, row, line, proof, now)
    local state, till, ends = check_place(key, row, line, proof)
    if not state then return nil, till end
    if state == ACTIVE and till > now then return till, ends end
    if state == USED then return nil, refuse('TOKEN_USED') end
    return nil, refuse(state == WAITING and 'TOKEN_WAITING' or 'TOKEN_EXPIRED')
end

local function place_row(line, state, till, ends, holds)
    return line .. struct.pack(REST, state, till, ends) .. holds
end

-- What the list of holds behind a place names: key and field of the seat, and its row while it is held by this user.
local function hold_at(row, at, user)
    local date, seat = struct.unpack('<I4B', row, at)
    local key, field = string.format('d:%d', date), string.format('%d', seat)
    local of_seat = redis.call('HGET', key, field)
    if of_seat then
        local state, till, _, owner = struct.unpack(SEAT, of_seat)
        if state == HELD and owner == user then return key, field, till end
    end
    return key, field, nil
end

-- Free the seats that a user holds, all but one.
local function drop_holds(row, user, but)
    for at = PLACE_SIZE + 1, #row, HOLD_SIZE do
        if row:sub(at, at + HOLD_SIZE - 1) ~= but then
            local key, field, till = hold_at(row, at, user)
            if till then redis.call('HDEL', key, field) end
        end
    end
end

-- The list of holds without those that are over.
local function live_holds(row, user, now)
    local live = {}
    for at = PLACE_SIZE + 1, #row, HOLD_SIZE do
        local _, _, till = hold_at(row, at, user)
        if till and till > now then live[#live + 1] = row:sub(at, at + HOLD_SIZE - 1) end
    end
    return table.concat(live)
end

-- What a request id got before: its answer, without the `tail` bytes of its ledger entry, or its refusal, or a mismatch.
-- A remembered answer is the request's fingerprint, a byte (0 done, 1 refused), the answer.
local function replay(row, fingerprint, tail)
    local size = #fingerprint
    local kind = row:byte(size + 1)
    if row:sub(1, size) ~= fingerprint or (kind ~= 0 and kind ~= 1) then return refuse('MISMATCH') end
    if kind == 1 then return refuse(row:sub(size + 2)) end
    return row:sub(size + 2, -1 - tail)
end

-- A business refusal of money is remembered under its id (M4).
local function refuse_for_good(key, fingerprint, name)
    redis.call('SET', key, fingerprint .. '\1' .. name)
    return refuse(name)
end

-- A queue's row: open, past, left.
local function queue_of(row)
    if not row then return 0, 0, 0 end
    return struct.unpack('<BI8I8', row)
end

-- Live waiters up to a position.
local function rank_of(past, left, key, position)
    if left == 0 then return position - past end
    return position - past - redis.call('ZCOUNT', key, '-inf', position - 1)
end

-- keys: place, line, queue, left; arguments: user, queue number. -> position, rank (0: active), token
local function join(keys, args)
    local key = keys[1]
    local now = now_ms()
    local rows = redis.call('MGET', key, keys[3])
    local open, past, left = queue_of(rows[2])
    if rows[1] then
        local queue, position, state, till = struct.unpack('<I4I8BI8', rows[1])
        if queue == tonumber(args[2]) and state ~= USED and till > now then
            local line = rows[1]:sub(1, 12)
            return {position, state == WAITING and rank_of(past, left, keys[4], position) or 0, line .. prove(key, line)}
        end
    end
    local position = redis.call('RPUSH', keys[2], args[1])
    local line = struct.pack('<I4I8', args[2], position)
    if open == 1 then
        redis.call('SET', key, place_row(line, ACTIVE, now + ACTIVE_MS, now + TOKEN_MS, ''))
        return {position, 0, line .. prove(key, line)}
    end
    redis.call('SET', key, place_row(line, WAITING, now + LEASE_MS, now + TOKEN_MS, ''))
    return {position, rank_of(past, left, keys[4], position), line .. prove(key, line)}
end

-- keys: place, queue, left; arguments: token's line and proof. -> state, until, rank. It writes nothing: who finds that
-- less than half of the lease is left calls renew.
local function rank(keys, args)
    local rows = redis.call('MGET', keys[1], keys[2])
    local state, till = check_place(keys[1], rows[1], args[1], args[2])
    if not state then return till end
    if state ~= WAITING then return {state, till, 0} end
    if till <= now_ms() then return refuse('TOKEN_EXPIRED') end
    local _, past, left = queue_of(rows[2])
    return {WAITING, till, rank_of(past, left, keys[3], struct.unpack('<I8', args[1], 5))}
end

-- keys: place, queue, left; arguments: token's line and proof. -> state
local function leave(keys, args)
    local rows = redis.call('MGET', keys[1], keys[2])
    local state, till, ends = check_place(keys[1], rows[1], args[1], args[2])
    if not state then return till end
    if state == WAITING then
        local open, past, left = queue_of(rows[2])
        local position = struct.unpack('<I8', args[1], 5)
        redis.call('ZADD', keys[3], position, position)
        redis.call('SET', keys[2], struct.pack('<BI8I8', open, past, left + 1))
    end
    if state ~= USED then redis.call('SET', keys[1], place_row(args[1], USED, till, ends, '')) end
    return state
end

-- keys: line, queue, left; arguments: how many. Admit the next live waiters, in order. -> the position up to which
local function admit(keys, args)
    local now, wanted = now_ms(), tonumber(args[1])
    local open, past = queue_of(redis.call('GET', keys[2]))
    while wanted > 0 do
        local users = redis.call('LRANGE', keys[1], past, past + wanted - 1)
        if #users == 0 then break end
        for i = 1, #users do
            local key = 'p:' .. users[i]
            local row = redis.call('GET', key)
            local _, position, state, till, ends = struct.unpack('<I4I8BI8I8', row)
            past = past + 1
            if position == past and state == WAITING and till > now then
                redis.call('SET', key, place_row(row:sub(1, 12), ACTIVE, now + ACTIVE_MS, ends, ''))
                wanted = wanted - 1
            end
        end
    end
    redis.call('ZREMRANGEBYSCORE', keys[3], '-inf', past)
    redis.call('SET', keys[2], struct.pack('<BI8I8', open, past, redis.call('ZCARD', keys[3])))
    return past
end

-- keys: place; arguments: token's line and proof. -> until
local function renew(keys, args)
    local state, till, ends = check_place(keys[1], redis.call('GET', keys[1]), args[1], args[2])
    if not state then return till end
    local now = now_ms()
    if state ~= WAITING or till <= now then return refuse('TOKEN_EXPIRED') end
    redis.call('SET', keys[1], place_row(args[1], WAITING, now + LEASE_MS, ends, ''))
    return now + LEASE_MS
end

-- keys: place, date; arguments: token's line and proof. -> free seats as two words of 32 bits
local function seats(keys, args)
    local now = now_ms()
    local live, refusal = check_active(keys[1], redis.call('GET', keys[1]), args[1], args[2], now)
    if not live then return refusal end
    local rows = redis.call('HGETALL', keys[2])
    local low, high, count = 0, 0, 0
    for i = 1, #rows, 2 do
        local number = tonumber(rows[i])
        if number == 0 then
            count = struct.unpack('<I4', rows[i + 1])
        else
            local state, till = struct.unpack('<BI8', rows[i + 1])
            if state == SOLD or till > now then
                if number <= 32 then low = low + 2 ^ (number - 1) else high = high + 2 ^ (number - 33) end
            end
        end
    end
    if count == 0 then return refuse('DATE_NOT_FOUND') end
    local all_low = 2 ^ math.min(count, 32) - 1
    local all_high = 2 ^ math.max(count - 32, 0) - 1
    return struct.pack('<I4I4', all_low - low, all_high - high)
end

-- Whether the seat is free for this user: price; or nil and the answer that ends the matter.
local function price_of(rows, seat, user, now)
    local mine, count, price = 0, nil, nil
    for i = 1, #rows, 2 do
        if rows[i] == '0' then
            count, price = struct.unpack('<I4I8', rows[i + 1])
        else
            local state, till, _, owner = struct.unpack(SEAT, rows[i + 1])
            if state == SOLD or till > now then
                if rows[i] == seat then
                    if state == SOLD then return nil, refuse('SOLD') end
                    if owner ~= user then return nil, refuse('HELD') end
                    return nil, struct.pack('<I8', till)
                end
                if owner == user then mine = mine + 1 end
            end
        end
    end
    if not count then return nil, refuse('DATE_NOT_FOUND') end
    local number = tonumber(seat)
    if number < 1 or number > count then return nil, refuse('SEAT_NOT_FOUND') end
    if mine >= SEATS_PER_USER then return nil, refuse('SEATS_PER_USER') end
    return price
end

-- keys: place, date, request id; arguments: token's line and proof, user, date, seat. -> until, which with date and seat
-- is the reservation: a seat has no two holds with one deadline
local function reserve(keys, args)
    local fingerprint = args[4] .. ':' .. args[5]
    local rows = redis.call('MGET', keys[3], keys[1])
    if rows[1] then return replay(rows[1], fingerprint, 0) end
    local now, row = now_ms(), rows[2]
    local live, ends = check_active(keys[1], row, args[1], args[2], now)
    if not live then return ends end
    local price, answer = price_of(redis.call('HGETALL', keys[2]), args[5], args[3], now)
    if not price then return answer end
    local holds, rewrite = nil, false
    if #row >= PLACE_SIZE + HOLDS_PER_USER * HOLD_SIZE then
        holds, rewrite = live_holds(row, args[3], now), true
        if #holds >= HOLDS_PER_USER * HOLD_SIZE then return refuse('HOLDS_PER_USER') end
    end
    local till = math.min(now + HOLD_MS, ends)
    redis.call('HSET', keys[2], args[5], struct.pack(SEAT, HELD, till, price, args[3]))
    if till + GRACE_MS > live and live < ends then
        live, rewrite = math.min(till + GRACE_MS, ends), true
    end
    local hold = struct.pack('<I4B', args[4], args[5])
    if rewrite then
        holds = holds or row:sub(PLACE_SIZE + 1)
        redis.call('SET', keys[1], place_row(args[1], ACTIVE, live, ends, holds .. hold))
    else
        redis.call('APPEND', keys[1], hold)
    end
    answer = struct.pack('<I8', till)
    redis.call('SET', keys[3], fingerprint .. '\0' .. answer, 'EX', ID_SECONDS)
    return answer
end

-- keys: place, date; arguments: token's line and proof, user, date, seat. -> how many were still held
local function release(keys, args)
    local now, row = now_ms(), redis.call('GET', keys[1])
    local live, ends = check_active(keys[1], row, args[1], args[2], now)
    if not live then return ends end
    local of_seat = redis.call('HGET', keys[2], args[5])
    if not of_seat then return 0 end
    local state, till, _, owner = struct.unpack(SEAT, of_seat)
    if owner ~= args[3] then return refuse('NOT_YOURS') end
    if state == SOLD then return refuse('ALREADY_PAID') end
    redis.call('HDEL', keys[2], args[5])
    local hold = struct.pack('<I4B', args[4], args[5])
    for at = PLACE_SIZE + 1, #row, HOLD_SIZE do
        if row:sub(at, at + HOLD_SIZE - 1) == hold then
            local holds = row:sub(PLACE_SIZE + 1, at - 1) .. row:sub(at + HOLD_SIZE)
            redis.call('SET', keys[1], place_row(args[1], ACTIVE, live, ends, holds))
            break
        end
    end
    return till > now and 1 or 0
end

-- A user's balance and last entry.
local function balance_of(row)
    if not row then return 0, NO_ENTRY end
    return struct.unpack('<I8c16', row)
end

-- What a balance becomes by an entry, and the answer with the entry behind it. `id` is the key "r:" .. 16 bytes.
local function balance_row(balance, id)
    return struct.pack('<I8c16', balance, id:sub(3))
end
local function entry_row(fingerprint, answer, kind, user, amount, balance, last)
    return fingerprint .. '\0' .. answer .. struct.pack(ENTRY, kind, user, amount, balance, last)
end

-- keys: place, balance, request id; arguments: token's line and proof, user, amount. -> balance
local function charge(keys, args)
    local rows = redis.call('MGET', keys[3], keys[1], keys[2])
    if rows[1] then return replay(rows[1], args[4], ENTRY_SIZE) end
    local live, refusal = check_active(keys[1], rows[2], args[1], args[2], now_ms())
    if not live then return refusal end
    local amount = tonumber(args[4])
    if not amount or amount <= 0 or amount ~= math.floor(amount) then
        return refuse_for_good(keys[3], args[4], 'AMOUNT_INVALID')
    end
    if amount > CHARGE_MAX then return refuse_for_good(keys[3], args[4], 'AMOUNT_TOO_LARGE') end
    local balance, last = balance_of(rows[3])
    balance = balance + amount
    if balance > BALANCE_MAX then return refuse_for_good(keys[3], args[4], 'BALANCE_TOO_LARGE') end
    local answer = struct.pack('<I8', balance)
    redis.call('MSET', keys[2], balance_row(balance, keys[3]), keys[3],
        entry_row(args[4], answer, 'c', args[3], amount, balance, last))
    return answer
end

-- Whether the hold can be paid: its price; or nil and why not.
local function price_to_pay(of_seat, reservation, user, now)
    if not of_seat then return nil, 'RESERVATION_NOT_FOUND' end
    local state, till, price, owner = struct.unpack(SEAT, of_seat)
    if owner ~= user then return nil, 'NOT_YOURS' end
    if state == SOLD then return nil, 'ALREADY_PAID' end
    if till ~= tonumber(reservation) then return nil, 'RESERVATION_NOT_FOUND' end
    if till <= now then return nil, 'HOLD_EXPIRED' end
    return price
end

-- keys: place, balance, date, request id; arguments: token's line and proof, user, date, seat, reservation.
-- -> balance, payment, a receipt
local function pay(keys, args)
    local fingerprint = args[4] .. ':' .. args[5] .. ':' .. args[6]
    local rows = redis.call('MGET', keys[4], keys[1], keys[2])
    if rows[1] then return replay(rows[1], fingerprint, ENTRY_SIZE) end
    local now, row, user = now_ms(), rows[2], args[3]
    local live, ends = check_active(keys[1], row, args[1], args[2], now)
    if not live then return ends end
    local price, refusal = price_to_pay(redis.call('HGET', keys[3], args[5]), args[6], user, now)
    if not price then return refuse_for_good(keys[4], fingerprint, refusal) end
    local balance, last = balance_of(rows[3])
    if balance < price then return refuse_for_good(keys[4], fingerprint, 'NOT_ENOUGH_POINTS') end

    balance = balance - price
    local seat = struct.pack('<I4B', args[4], args[5])
    local payment = redis.call('XADD', 'payments', '*', 'p', struct.pack('<c16I8I8', user, price, args[6]) .. seat)
    redis.call('HSET', keys[3], args[5], struct.pack(SEAT, SOLD, args[6], price, user))
    if #row > PLACE_SIZE + HOLD_SIZE then drop_holds(row, user, seat) end
    local answer = struct.pack('<I8', balance) .. payment .. ' ' .. prove(keys[1], payment .. seat)
    redis.call('MSET', keys[1], place_row(args[1], USED, live, ends, ''), keys[2], balance_row(balance, keys[4]),
        keys[4], entry_row(fingerprint, answer, 'p', user, price, balance, last))
    return answer
end

-- keys: place, concert; arguments: token's line and proof. -> how many dates are on sale (a page of 64), then they
local function dates(keys, args)
    local now = now_ms()
    local live, refusal = check_active(keys[1], redis.call('GET', keys[1]), args[1], args[2], now)
    if not live then return refusal end
    local rows = redis.call('HGETALL', keys[2])
    local found = {0}
    for i = 1, #rows, 2 do
        if struct.unpack('<I8', rows[i + 1]) > now then found[#found + 1] = tonumber(rows[i]) end
    end
    found[1] = #found - 1
    return found
end

-- --- before and after a run ------------------------------------------------------------------------------------------
-- arguments: queue, points that each begins with, users. -> their tokens
local function load_people(_, args)
    local queue, tokens = args[1], {}
    if queue == '1' then redis.call('SET', 'q:1', struct.pack('<BI8I8', 1, 0, 0)) end
    for i = 3, #args do
        local user = args[i]
        local place = 'p:' .. user
        local token = join({place, 'line:' .. queue, 'q:' .. queue, 'left:' .. queue}, {user, queue})[3]
        if args[2] ~= '0' then
            charge({place, 'b:' .. user, 'r:' .. user}, {token:sub(1, 12), token:sub(13), user, args[2]})
        end
        tokens[#tokens + 1] = token
    end
    return tokens
end

-- arguments: first date, how many, seats, price, dates of a concert
local function load_dates(_, args)
    local starts = now_ms() + 365 * 86400000
    for date = tonumber(args[1]), args[1] + args[2] - 1 do
        local name, concert = string.format('%d', date), string.format('c:%d', math.floor(date / args[5]))
        redis.call('HSET', 'd:' .. name, '0', struct.pack('<I4I8I8', args[3], args[4], starts))
        redis.call('HSET', concert, name, struct.pack('<I8I4', starts, args[3]))
    end
    return 'OK'
end

-- Whether the books of these users agree: the balance is that of the last entry, and every entry's balance is the one
-- before it and its amount; the first comes from nothing. arguments: users -> entries, mistakes, spent
local function audit_users(_, args)
    local entries, mistakes, spent = 0, 0, 0
    for i = 1, #args do
        local balance, id = balance_of(redis.call('GET', 'b:' .. args[i]))
        while id ~= NO_ENTRY do
            local row = redis.call('GET', 'r:' .. id)
            local kind, user, amount, after, last = struct.unpack(ENTRY, row, #row - ENTRY_SIZE + 1)
            if after ~= balance or user ~= args[i] or after < 0 then mistakes = mistakes + 1 end
            if kind == 'p' then spent = spent + amount end
            balance, id, entries = kind == 'c' and after - amount or after + amount, last, entries + 1
        end
        if balance ~= 0 then mistakes = mistakes + 1 end
    end
    return {entries, mistakes, spent}
end

-- Whether each payment's seat is sold to its payer, and to nobody twice. -> payments, mistakes, paid
local function audit_payments()
    local seen, mistakes, payments, paid, from = {}, 0, 0, 0, '-'
    while true do
        local rows = redis.call('XRANGE', 'payments', from, '+', 'COUNT', 1000)
        for i = 1, #rows do
            local user, price, reservation, date, seat = struct.unpack('<c16I8I8I4B', rows[i][2][2])
            local name = string.format('%d:%d', date, seat)
            local row = redis.call('HGET', string.format('d:%d', date), string.format('%d', seat))
            local state, till, _, owner = struct.unpack(SEAT, row)
            if state ~= SOLD or till ~= reservation or owner ~= user or seen[name] then mistakes = mistakes + 1 end
            seen[name], paid = true, paid + price
        end
        payments = payments + #rows
        if #rows < 1000 then return {payments, mistakes, paid} end
        from = '(' .. rows[#rows][1]
    end
end

redis.register_function('join', join)
redis.register_function('renew', renew)
redis.register_function('leave', leave)
redis.register_function('admit', admit)
redis.register_function('reserve', reserve)
redis.register_function('release', release)
redis.register_function('charge', charge)
redis.register_function('pay', pay)
redis.register_function('load_people', load_people)
redis.register_function('load_dates', load_dates)
redis.register_function{function_name = 'rank', callback = rank, flags = {'no-writes'}}
redis.register_function{function_name = 'seats', callback = seats, flags = {'no-writes'}}
redis.register_function{function_name = 'dates', callback = dates, flags = {'no-writes'}}
redis.register_function{function_name = 'audit_users', callback = audit_users, flags = {'no-writes'}}
redis.register_function{function_name = 'audit_payments', callback = audit_payments, flags = {'no-writes'}}
