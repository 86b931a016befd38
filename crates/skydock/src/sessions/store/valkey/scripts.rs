//! What is done in the server, each on one key: nothing comes between its steps, and doing it twice does no harm.

use std::sync::LazyLock;

/// A script, and the hash by which a server knows it that has seen it before.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) code: &'static str,
    pub(super) hash: String,
}

impl Script {
    fn new(code: &'static str) -> Self {
        let hash = redis::Script::new(code).get_hash().to_owned();
        Self { code, hash }
    }
}

/// Takes the version to replace (`''` when there must be none), the new version, a mark, the ttl in ms and the value;
/// gives 1 when it is done, 0 for a conflict.
///
/// A write whose answer was lost is sent again; by its mark it is known that it was done.
pub(super) static WRITE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local found = redis.call('HMGET', KEYS[1], 'version', 'mark')
if found[2] == ARGV[3] then return 1 end
if (found[1] or '') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'mark', ARGV[3], 'value', ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1
",
    )
});

/// Takes the ttl in ms; gives the version and the value, or nil.
pub(super) static TOUCH: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local found = redis.call('HMGET', KEYS[1], 'version', 'value')
if not found[1] then return false end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return found
",
    )
});

/// Takes the ttl in ms, a mark, the channel and the name under which to tell that the log has grown, and the entries;
/// gives the id of the last one. What has expired is thrown out, a little each time.
///
/// Looks for its mark among the latest entries first, in case this is sent again because the answer was lost. An id
/// has room for 2^20 entries of one millisecond, which run out when the clock has been set back for long; then the
/// time of the id goes on by itself. Telling may be forbidden to the user, and followers then find out by themselves.
pub(super) static APPEND: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local time = redis.call('TIME')
local recent = time[1] * 1000 - 10000
local start, before = '*', '+'
for look = 1, 16 do
    local last = redis.call('XREVRANGE', KEYS[1], before, '-', 'COUNT', 1)[1]
    if not last then break end
    if last[2][2] == ARGV[2] then return last[1] end
    local ms, seq = string.match(last[1], '^(%d+)-(%d+)$')
    if look == 1 and tonumber(seq) > 1000000 then start = string.format('%.0f-0', ms + 1) end
    if tonumber(ms) < recent then break end
    before = '(' .. last[1]
end
local id
for entry = 5, #ARGV do
    id = redis.call('XADD', KEYS[1], start, 'mark', ARGV[2], 'value', ARGV[entry], 'ttl', ARGV[1])
    start = '*'
end
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for look = 1, 8 + #ARGV do
    local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
    local ms = string.match(first[1], '^(%d+)')
    if ms + first[2][6] >= now then break end
    redis.call('XDEL', KEYS[1], first[1])
end
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
redis.pcall('PUBLISH', ARGV[3], ARGV[4])
return id
",
    )
});

/// Takes the id to begin after and how many bytes to stop at; gives ids and values in turn.
pub(super) static READ: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local given, bytes, from = {}, 0, '(' .. ARGV[1]
repeat
    local found = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', 8)
    for _, entry in ipairs(found) do
        if bytes > 0 and bytes + #entry[2][4] > tonumber(ARGV[2]) then return given end
        given[#given + 1] = entry[1]
        given[#given + 1] = entry[2][4]
        bytes = bytes + 64 + #entry[2][4]
        from = '(' .. entry[1]
    end
until #found < 8
return given
",
    )
});

/// Takes the instance and the ttl in ms; zero takes it off the roll.
pub(super) static ANNOUNCE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ttl = tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
if ttl == 0 then return redis.call('ZREM', KEYS[1], ARGV[1]) end
-- the millisecond that has begun does not count
redis.call('ZADD', KEYS[1], string.format('%.0f', now + 1 + ttl), ARGV[1])
if redis.call('PTTL', KEYS[1]) <= ttl then redis.call('PEXPIRE', KEYS[1], string.format('%.0f', ttl + 1)) end
return 1
",
    )
});

/// Gives the instances on the roll.
pub(super) static ROLL: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return redis.call('ZRANGEBYSCORE', KEYS[1], string.format('(%.0f', now), '+inf')
",
    )
});
