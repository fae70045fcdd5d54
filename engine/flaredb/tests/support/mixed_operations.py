"""Mixed operations through redis-py's cluster client, each checked against a model."""

import random
import sys

from redis.cluster import RedisCluster

PORT, OPERATIONS = int(sys.argv[1]), int(sys.argv[2])
random.seed(7)
client = RedisCluster(host="127.0.0.1", port=PORT, decode_responses=True)
texts, numbers, done = {}, {}, 0


def check(what, got, expected):
    global done
    done += 1
    if got != expected:
        sys.exit(f"operation {done}, {what}: got {got!r}, expected {expected!r}")


def pipelined():
    pipe = client.pipeline()
    names = [f"pipe{random.randrange(500)}" for _ in range(16)]
    expected = []
    for name in names:
        numbers[name] = numbers.get(name, 0) + 1
        expected.append(numbers[name])
        pipe.incr(name)
    for name, got, wanted in zip(names, pipe.execute(), expected):
        check(f"pipelined INCR {name}", got, wanted)


def several():
    pairs = {f"text{random.randrange(800)}": f"m{done}-{i}" for i in range(5)}
    client.mset_nonatomic(pairs)
    texts.update(pairs)
    names = [f"text{random.randrange(800)}" for _ in range(8)]
    check("MGET", client.mget_nonatomic(names), [texts.get(n) for n in names])


def single():
    name, counter = f"text{random.randrange(800)}", f"count{random.randrange(300)}"
    kind = random.randrange(9)
    if kind == 0:
        check("SET", client.set(name, f"v{done}"), True)
        texts[name] = f"v{done - 1}"
    elif kind == 1:
        check("GET", client.get(name), texts.get(name))
    elif kind == 2:
        numbers[counter] = numbers.get(counter, 0) + 3
        check("INCRBY", client.incrby(counter, 3), numbers[counter])
    elif kind == 3:
        numbers[counter] = numbers.get(counter, 0) - 1
        check("DECR", client.decr(counter), numbers[counter])
    elif kind == 4:
        texts[name] = texts.get(name, "") + "+"
        check("APPEND", client.append(name, "+"), len(texts[name]))
    elif kind == 5:
        check("DEL", client.delete(name), int(texts.pop(name, None) is not None))
    elif kind == 6:
        check("EXISTS", client.exists(name), int(name in texts))
    elif kind == 7:
        check("STRLEN", client.strlen(name), len(texts.get(name, "")))
    else:
        wanted = True if name not in texts else None
        check("SET NX", client.set(name, "nx", nx=True, ex=1000), wanted)
        texts.setdefault(name, "nx")
        check("TTL", client.ttl(name) > 990 if wanted else True, True)


while done < OPERATIONS:
    random.choices([single, several, pipelined], weights=[90, 5, 5])[0]()

for name, value in texts.items():
    check(f"GET {name} at the end", client.get(name), value)
for name, value in numbers.items():
    check(f"GET {name} at the end", client.get(name), str(value))
check("SCAN", len(set(client.scan_iter(count=100))), len(texts) + len(numbers))
check("primaries", len(client.get_primaries()) >= 1, True)
print(f"{done} operations, all as expected")
