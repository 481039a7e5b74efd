-- postgres.sql: the bench's jobs as functions of PostgreSQL 15, one call a job, each its own transaction, its statement
-- prepared. Rows exist for what is taken alone: a free seat has none. Tables that change in place leave room on their
-- pages, so that an update touches no index (HOT).
--
-- A token is a position and a proof, SHA-256 over a secret, the user and the position: whoever can check it can make it.
-- A line is its sequence, how far the queue has admitted, and the few who left before their turn: a rank is a
-- subtraction. Ledger entries carry the request id: the entry is the remembered answer as well.
-- Every function answers (refusal or null, value, proof).

create table house (hold_ms bigint not null, active_ms bigint not null);
create table queues (queue int primary key, open boolean not null, past bigint not null, early bigint not null);
create sequence line_1;
create sequence line_2;
create table places (
    user_id uuid primary key, queue int not null, position bigint not null,
    state smallint not null, -- 1 waiting, 2 active, 3 used
    till bigint not null, ends bigint not null
) with (fillfactor = 50);
create table early (queue int, position bigint, primary key (queue, position));
create table dates (date_id int primary key, concert int not null, seats int not null, price bigint not null,
    starts bigint not null);
create index on dates (concert, date_id);
create table seats (
    date_id int, seat int, sold boolean not null, till bigint not null, price bigint not null, owner uuid not null,
    primary key (date_id, seat)
) with (fillfactor = 70);
create index on seats (owner) where not sold;
create table users (user_id uuid primary key, balance bigint not null check (balance between 0 and 9007199254740991))
    with (fillfactor = 50);
create table ledger (entry bigserial primary key, request_id uuid not null unique, user_id uuid not null,
    amount bigint not null, balance bigint not null, payment bigint, refusal text, at timestamptz not null default now());
create table answers (request_id uuid primary key, date_id int not null, seat int not null, till bigint not null,
    at timestamptz not null default now());
create table payments (payment bigserial primary key, user_id uuid not null, date_id int not null, seat int not null,
    amount bigint not null, at bigint not null);
create table events (event bigserial primary key, payment bigint not null);

create function now_ms() returns bigint language sql volatile as
    $$ select (extract(epoch from clock_timestamp()) * 1000)::bigint $$;

create function prove(who uuid, at bigint) returns bytea language sql immutable as
    $$ select sha256('not a secret: a bench of one machine'::bytea || uuid_send(who) || int8send(at)) $$;

create type answer as (refusal text, value bigint, proof bytea);

-- Why the token does not do for a job that needs an active one; null when it does.
create function refusal_of(place places, of_position bigint, proof bytea, now bigint) returns text language plpgsql as $$
begin
    if place.user_id is null then return 'TOKEN_EXPIRED'; end if;
    if proof <> prove(place.user_id, of_position) then return 'TOKEN_FORGED'; end if;
    if place.position <> of_position then return 'TOKEN_EXPIRED'; end if;
    if place.state = 2 and place.till > now then return null; end if;
    if place.state = 3 then return 'TOKEN_USED'; end if;
    return case when place.state = 1 then 'TOKEN_WAITING' else 'TOKEN_EXPIRED' end;
end $$;

create function rank_of(of_queue int, of_position bigint) returns bigint language plpgsql as $$
declare q queues;
begin
    select * into q from queues where queue = of_queue;
    if q.early = 0 then return of_position - q.past; end if;
    return of_position - q.past
        - (select count(*) from early e where e.queue = of_queue and e.position < of_position);
end $$;

create function peer_join(who uuid, of_queue int) returns answer language plpgsql as $$
declare now bigint := now_ms(); place places; next bigint; is_open boolean;
begin
    select * into place from places where user_id = who;
    if found and place.queue = of_queue and place.state <> 3 and place.till > now then
        return (null, place.position, prove(who, place.position))::answer;
    end if;
    select open into is_open from queues where queue = of_queue;
    next := case when of_queue = 1 then nextval('line_1') else nextval('line_2') end;
    insert into places values (who, of_queue, next, case when is_open then 2 else 1 end,
        now + (select active_ms from house), now + 86400000)
    on conflict (user_id) do update set queue = excluded.queue, position = excluded.position, state = excluded.state,
        till = excluded.till, ends = excluded.ends;
    return (null, next, prove(who, next))::answer;
end $$;

create function peer_rank(who uuid, of_position bigint, proof bytea) returns answer language plpgsql as $$
declare place places;
begin
    if proof <> prove(who, of_position) then return ('TOKEN_FORGED', 0, null)::answer; end if;
    select * into place from places where user_id = who;
    if not found or place.position <> of_position or place.till <= now_ms() then
        return ('TOKEN_EXPIRED', 0, null)::answer;
    end if;
    if place.state <> 1 then return (null, 0, null)::answer; end if;
    return (null, rank_of(place.queue, of_position), null)::answer;
end $$;

create function peer_dates(who uuid, of_position bigint, proof bytea, of_concert int) returns answer
language plpgsql as $$
declare now bigint := now_ms(); place places; why text; found_dates int[];
begin
    select * into place from places where user_id = who;
    why := refusal_of(place, of_position, proof, now);
    if why is not null then return (why, 0, null)::answer; end if;
    select array_agg(date_id) into found_dates from
        (select date_id from dates where concert = of_concert and starts > now order by date_id limit 64) page;
    return (null, coalesce(array_length(found_dates, 1), 0), array_send(found_dates))::answer;
end $$;

create function peer_seats(who uuid, of_position bigint, proof bytea, of_date int) returns answer
language plpgsql as $$
declare now bigint := now_ms(); place places; why text; count int; taken bigint;
begin
    select * into place from places where user_id = who;
    why := refusal_of(place, of_position, proof, now);
    if why is not null then return (why, 0, null)::answer; end if;
    select seats into count from dates where date_id = of_date;
    if not found then return ('DATE_NOT_FOUND', 0, null)::answer; end if;
    select bit_or(1::bigint << (seat - 1)) into taken from seats
        where date_id = of_date and (sold or till > now);
    return (null, (1::bigint << count) - 1 - coalesce(taken, 0), null)::answer;
end $$;

create function peer_reserve(who uuid, of_position bigint, proof bytea, id uuid, of_date int, of_seat int)
returns answer language plpgsql as $$
declare now bigint := now_ms(); place places; why text; d dates; before answers; until bigint; taken seats; mine int;
begin
    select * into before from answers where request_id = id;
    if found then
        if before.date_id <> of_date or before.seat <> of_seat then return ('MISMATCH', 0, null)::answer; end if;
        return (null, before.till, null)::answer;
    end if;
    select * into place from places where user_id = who;
    why := refusal_of(place, of_position, proof, now);
    if why is not null then return (why, 0, null)::answer; end if;
    select * into d from dates where date_id = of_date;
    if not found then return ('DATE_NOT_FOUND', 0, null)::answer; end if;
    if of_seat < 1 or of_seat > d.seats then return ('SEAT_NOT_FOUND', 0, null)::answer; end if;
    -- Losers are refused by a read: a conflict below would lock the row, and that is a commit on the disk for each.
    select * into taken from seats where date_id = of_date and seat = of_seat;
    if found and (taken.sold or taken.till > now) then
        if taken.owner = who and not taken.sold then return (null, taken.till, null)::answer; end if;
        return (case when taken.sold then 'SOLD' else 'HELD' end, 0, null)::answer;
    end if;
    select count(*) into mine from seats where date_id = of_date and owner = who and (sold or till > now);
    if mine >= 65535 then return ('SEATS_PER_USER', 0, null)::answer; end if; -- as the bench sets Usher's policies
    if (select count(*) from seats where owner = who and not sold and till > now) >= 16 then
        return ('HOLDS_PER_USER', 0, null)::answer;
    end if;
    until := least(now + (select hold_ms from house), place.ends);
    insert into seats as s values (of_date, of_seat, false, until, d.price, who)
        on conflict (date_id, seat) do update set till = excluded.till, price = excluded.price, owner = excluded.owner
        where not s.sold and s.till <= now;
    if not found then
        select * into taken from seats where date_id = of_date and seat = of_seat;
        return (case when taken.sold then 'SOLD' else 'HELD' end, 0, null)::answer;
    end if;
    if until + 30000 > place.till and place.till < place.ends then
        update places set till = least(until + 30000, ends) where user_id = who;
    end if;
    insert into answers values (id, of_date, of_seat, until);
    return (null, until, null)::answer;
end $$;

create function peer_release(who uuid, of_position bigint, proof bytea, of_date int, of_seat int) returns answer
language plpgsql as $$
declare now bigint := now_ms(); place places; why text; taken seats;
begin
    select * into place from places where user_id = who;
    why := refusal_of(place, of_position, proof, now);
    if why is not null then return (why, 0, null)::answer; end if;
    delete from seats where date_id = of_date and seat = of_seat and owner = who and not sold returning * into taken;
    if not found and exists (select from seats where date_id = of_date and seat = of_seat) then
        return ('NOT_YOURS', 0, null)::answer;
    end if;
    return (null, case when taken.till > now then 1 else 0 end, null)::answer;
end $$;

create function peer_charge(who uuid, of_position bigint, proof bytea, id uuid, points bigint) returns answer
language plpgsql as $$
declare place places; why text; before ledger; total bigint;
begin
    select * into before from ledger where request_id = id;
    if found then
        if before.user_id <> who or before.amount <> points then return ('MISMATCH', 0, null)::answer; end if;
        return (before.refusal, before.balance, null)::answer;
    end if;
    select * into place from places where user_id = who;
    why := refusal_of(place, of_position, proof, now_ms());
    if why is not null then return (why, 0, null)::answer; end if;
    if points <= 0 or points > 1000000000 then
        why := case when points <= 0 then 'AMOUNT_INVALID' else 'AMOUNT_TOO_LARGE' end;
        insert into ledger (request_id, user_id, amount, balance, refusal) values (id, who, points, 0, why);
        return (why, 0, null)::answer;
    end if;
    update users set balance = balance + points where user_id = who returning balance into total;
    insert into ledger (request_id, user_id, amount, balance) values (id, who, points, total);
    return (null, total, null)::answer;
end $$;

create function peer_balance(who uuid) returns answer language sql stable as
    $$ select (null, balance, null)::answer from users where user_id = who $$;

create function peer_pay(who uuid, of_position bigint, proof bytea, id uuid, of_date int, of_seat int, reservation bigint)
returns answer language plpgsql as $$
declare now bigint := now_ms(); place places; why text; before ledger; held seats; total bigint; number bigint;
begin
    select * into before from ledger where request_id = id;
    if found then
        if before.user_id <> who then return ('MISMATCH', 0, null)::answer; end if;
        return (before.refusal, before.payment, null)::answer;
    end if;
    select * into place from places where user_id = who for update;
    why := refusal_of(place, of_position, proof, now);
    if why is not null then return (why, 0, null)::answer; end if;
    select * into held from seats where date_id = of_date and seat = of_seat for update;
    why := case when not found then 'RESERVATION_NOT_FOUND' when held.owner <> who then 'NOT_YOURS'
        when held.sold then 'ALREADY_PAID' when held.till <> reservation then 'RESERVATION_NOT_FOUND'
        when held.till <= now then 'HOLD_EXPIRED' end;
    if why is null then
        update users set balance = balance - held.price where user_id = who and balance >= held.price
            returning balance into total;
        if not found then why := 'NOT_ENOUGH_POINTS'; end if;
    end if;
    if why is not null then
        insert into ledger (request_id, user_id, amount, balance, refusal) values (id, who, 0, 0, why);
        return (why, 0, null)::answer;
    end if;
    insert into payments (user_id, date_id, seat, amount, at) values (who, of_date, of_seat, held.price, now)
        returning payment into number;
    insert into ledger (request_id, user_id, amount, balance, payment) values (id, who, -held.price, total, number);
    update seats set sold = true where date_id = of_date and seat = of_seat;
    delete from seats where owner = who and not sold;
    update places set state = 3 where user_id = who;
    insert into events (payment) values (number);
    return (null, number, prove(who, number))::answer;
end $$;

-- Mistakes in the books: balances that are not what their entries come to, payments without their seat, seats without
-- their payment, seats that were paid twice.
create function audit(out entries bigint, out paid bigint, out mistakes bigint) language plpgsql as $$
begin
    select count(*) into entries from ledger;
    select count(*) into paid from payments;
    select count(*) into mistakes from users u
        left join (select user_id, sum(amount) as total from ledger where refusal is null group by user_id) l using (user_id)
        where u.balance <> coalesce(l.total, 0);
    mistakes := mistakes
        + (select count(*) from payments p left join seats s using (date_id, seat)
            where s.owner is distinct from p.user_id or not coalesce(s.sold, false))
        + (select count(*) from seats s where s.sold) - paid
        + abs((select coalesce(sum(amount), 0) from payments)
            + (select coalesce(sum(amount), 0) from ledger where payment is not null));
end $$;
