-- mariadb.sql: the user's own study on MariaDB: one seat wanted by many, and many charges of one user, each done twice: with
-- a version column (optimistic: read, then write if nobody else has) and with SELECT ... FOR UPDATE (pessimistic). A
-- procedure a task, each a transaction that is on the disk when it answers (innodb_flush_log_at_trx_commit 1).
-- Every procedure answers one row: refusal or null, value.

create table users (user_id binary(16) primary key, balance bigint not null, version bigint not null default 0) engine = innodb;
create table ledger (entry bigint auto_increment primary key, request_id binary(16) not null unique,
    user_id binary(16) not null, amount bigint not null, balance bigint not null) engine = innodb;
create table seats (date_id int, seat int, owner binary(16), till bigint not null default 0, sold bool not null default false,
    version bigint not null default 0, primary key (date_id, seat)) engine = innodb;
create table answers (request_id binary(16) primary key, date_id int not null, seat int not null, till bigint not null)
    engine = innodb;

delimiter //
create procedure reserve_pessimistic(who binary(16), id binary(16), of_date int, of_seat int, hold_ms bigint)
proc: begin
    declare now_ms bigint default floor(unix_timestamp(now(3)) * 1000);
    declare known, has_till bigint; declare has_owner binary(16); declare is_sold bool;
    select till into known from answers where request_id = id;
    if known is not null then select null, known; leave proc; end if;
    start transaction;
    select owner, till, sold into has_owner, has_till, is_sold from seats where date_id = of_date and seat = of_seat for update;
    if is_sold or (has_owner is not null and has_till > now_ms) then
        rollback;
        select if(is_sold, 'SOLD', 'HELD'), 0;
        leave proc;
    end if;
    update seats set owner = who, till = now_ms + hold_ms, version = version + 1 where date_id = of_date and seat = of_seat;
    insert into answers values (id, of_date, of_seat, now_ms + hold_ms);
    commit;
    select null, now_ms + hold_ms;
end //

create procedure reserve_optimistic(who binary(16), id binary(16), of_date int, of_seat int, hold_ms bigint)
proc: begin
    declare now_ms bigint default floor(unix_timestamp(now(3)) * 1000);
    declare known, has_till, has_version bigint; declare has_owner binary(16); declare is_sold bool;
    select till into known from answers where request_id = id;
    if known is not null then select null, known; leave proc; end if;
    start transaction;
    select owner, till, sold, version into has_owner, has_till, is_sold, has_version from seats
        where date_id = of_date and seat = of_seat;
    if is_sold or (has_owner is not null and has_till > now_ms) then
        rollback;
        select if(is_sold, 'SOLD', 'HELD'), 0;
        leave proc;
    end if;
    update seats set owner = who, till = now_ms + hold_ms, version = version + 1
        where date_id = of_date and seat = of_seat and version = has_version;
    if row_count() = 0 then
        rollback;
        select 'HELD', 0; -- somebody was faster
        leave proc;
    end if;
    insert into answers values (id, of_date, of_seat, now_ms + hold_ms);
    commit;
    select null, now_ms + hold_ms;
end //

create procedure charge_pessimistic(who binary(16), id binary(16), points bigint)
proc: begin
    declare known, total bigint;
    select balance into known from ledger where request_id = id;
    if known is not null then select null, known; leave proc; end if;
    start transaction;
    select balance into total from users where user_id = who for update;
    set total = total + points;
    update users set balance = total, version = version + 1 where user_id = who;
    insert into ledger (request_id, user_id, amount, balance) values (id, who, points, total);
    commit;
    select null, total;
end //

create procedure charge_optimistic(who binary(16), id binary(16), points bigint)
proc: begin
    declare known, total, has_version bigint;
    select balance into known from ledger where request_id = id;
    if known is not null then select null, known; leave proc; end if;
    start transaction;
    select balance, version into total, has_version from users where user_id = who;
    set total = total + points;
    update users set balance = total, version = version + 1 where user_id = who and version = has_version;
    if row_count() = 0 then
        rollback;
        select 'CONFLICT', 0; -- the caller tries again under the same id
        leave proc;
    end if;
    insert into ledger (request_id, user_id, amount, balance) values (id, who, points, total);
    commit;
    select null, total;
end //
