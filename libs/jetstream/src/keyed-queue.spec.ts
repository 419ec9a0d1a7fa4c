import { describe, expect, it } from '@jest/globals';
import type { Priority } from '@callboard/envelope';
import { KeyedQueue } from './keyed-queue.js';

interface Item {
  key: string;
  owner: string;
  priority: Priority;
  n: number;
}

/** A queue whose items end when the test says so. */
function controlled(concurrency: number, starvationMs = 1e9) {
  const started: Item[] = [];
  const running = new Map<Item, () => void>();
  const queue = new KeyedQueue<Item>({ concurrency, starvationMs }, (item) => {
    started.push(item);
    return new Promise<void>((resolve) => running.set(item, resolve));
  });
  const end = async (item: Item) => {
    running.get(item)!();
    running.delete(item);
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { queue, started, running, end };
}

const item = (key: string, n: number, priority: Priority = 'normal', owner = 'one'): Item => ({
  key,
  n,
  priority,
  owner,
});

function random(seed: number): () => number {
  let state = seed;
  return () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;
}

describe('a keyed queue', () => {
  it('lets owners take turns, however much one of them has pushed before', async () => {
    const { queue, started, running, end } = controlled(2);
    for (let n = 0; n < 100; n++) queue.push(item(`noisy ${n}`, n, 'normal', 'noisy'));
    for (let n = 0; n < 3; n++) queue.push(item(`quiet ${n}`, n, 'normal', 'quiet'));
    for (let n = 0; n < 8; n++) await end(running.keys().next().value!);
    const turns = started.slice(2, 9).map(({ owner, n }) => `${owner} ${n}`);
    // Two ran before anybody else came.
    expect(turns).toEqual(['noisy 2', 'quiet 0', 'noisy 3', 'quiet 1', 'noisy 4', 'quiet 2', 'noisy 5']);
  });

  it('lets priority go before turns, and leaves its turn to who had a key that was hurried', async () => {
    const { queue, started, running, end } = controlled(1);
    queue.push(item('busy', 0));
    queue.push(item('noisy', 1, 'low', 'noisy'));
    queue.push(item('noisy', 2, 'high', 'noisy'));
    queue.push(item('quiet', 3, 'low', 'quiet'));
    queue.push(item('other', 4, 'low', 'noisy'));
    while (running.size > 0) await end(running.keys().next().value!);
    expect(started.map(({ n }) => n)).toEqual([0, 1, 2, 4, 3]);
  });

  it.each([1, 7, 42, 20_260_728])(
    'never runs two items of a key at once, and runs each key in the order of pushes, on random schedule %d',
    async (seed) => {
      const next = random(seed);
      const { queue, started, running, end } = controlled(5);
      const pushed: Item[] = [];
      const wrong: string[] = [];
      const priorities = ['high', 'normal', 'low'] as const;
      for (let step = 0; step < 2_000; step++) {
        if (next() < 0.5) {
          const one = item(`k${Math.floor(next() * 12)}`, step, priorities[Math.floor(next() * 3)]);
          pushed.push(one);
          queue.push(one);
        } else if (running.size > 0) {
          await end([...running.keys()][Math.floor(next() * running.size)]!);
        }
        const keys = [...running.keys()].map(({ key }) => key).sort();
        if (new Set(keys).size !== keys.length || keys.length > 5) wrong.push(`step ${step}: ${keys.join(' ')}`);
      }
      expect(wrong).toEqual([]);
      while (running.size > 0) await end(running.keys().next().value!);
      expect(started).toHaveLength(pushed.length);
      for (let k = 0; k < 12; k++) {
        const numbers = (items: Item[]) => items.filter(({ key }) => key === `k${k}`).map(({ n }) => n);
        expect(numbers(started)).toEqual(numbers(pushed));
      }
      expect(queue.keys).toBe(0);
    },
  );

  it('takes high before normal before low among the keys that are ready', async () => {
    const { queue, started, end } = controlled(1);
    queue.push(item('a', 0));
    queue.push(item('b', 1, 'low'));
    queue.push(item('c', 2));
    queue.push(item('d', 3, 'high'));
    queue.push(item('e', 4, 'high'));
    for (let i = 0; i < 5; i++) await end(started[i]!);
    expect(started.map(({ key }) => key).join('')).toBe('adecb');
  });

  it('does not let a high priority overtake an earlier item of its own key', async () => {
    const { queue, started, end } = controlled(2);
    queue.push(item('a', 0, 'low'));
    queue.push(item('a', 1, 'high'));
    expect(started.map(({ n }) => n)).toEqual([0]);
    await end(started[0]!);
    expect(started.map(({ n }) => n)).toEqual([0, 1]);
  });

  it('lets the keys take turns', async () => {
    const { queue, started, end } = controlled(1);
    for (let n = 0; n < 3; n++) queue.push(item('busy', n));
    queue.push(item('other', 0));
    for (let i = 0; i < 4; i++) await end(started[i]!);
    expect(started.map(({ key, n }) => `${key}${n}`)).toEqual(['busy0', 'other0', 'busy1', 'busy2']);
  });

  it('that is stopped starts nothing more, and is stopped for everyone who asked when the last item has ended', async () => {
    const { queue, started, running, end } = controlled(2);
    for (const key of ['a', 'a', 'b', 'c']) queue.push(item(key, 0));
    let stopped = 0;
    const stops = [queue.stop(), queue.stop()].map((stop) => stop.then(() => (stopped += 1)));
    queue.push(item('d', 0));
    await end(started[0]!);
    expect(running.size).toBe(1);
    expect(stopped).toBe(0);
    await end(started[1]!);
    await Promise.all(stops);
    await queue.stop();
    expect(started.map(({ key }) => key)).toEqual(['a', 'b']);
    expect(queue.keys).toBe(0);
  });

  it('holds a key for as long as its item does not settle, and no other key', async () => {
    const { queue, started, end } = controlled(2);
    queue.push(item('stuck', 0));
    for (let n = 0; n < 50; n++) queue.push(item('free', n));
    for (let n = 0; n < 50; n++) await end(started[n + 1]!);
    expect(queue.running).toBe(1);
    expect(started).toHaveLength(51);
  });
});

describe('a line of a keyed queue', () => {
  it('hurries with the most urgent item in it, which overtakes nothing of its own key', async () => {
    const { queue, started, end } = controlled(1);
    queue.push(item('busy', 0));
    queue.push(item('b', 1));
    queue.push(item('a', 2, 'low'));
    queue.push(item('a', 3, 'low'));
    queue.push(item('a', 4, 'high'));
    queue.push(item('a', 5, 'low'));
    for (let i = 0; i < 6; i++) await end(started[i]!);
    expect(started.map(({ n }) => n)).toEqual([0, 2, 3, 4, 1, 5]);
  });

  it('that has waited too long takes every second start, and no more', async () => {
    const { queue, started, end } = controlled(1, 20);
    queue.push(item('busy', 0));
    for (const n of [1, 2]) queue.push(item(`low${n}`, n, 'low'));
    await new Promise((resolve) => setTimeout(resolve, 30));
    for (const n of [3, 4, 5]) queue.push(item(`high${n}`, n, 'high'));
    for (let i = 0; i < 6; i++) await end(started[i]!);
    expect(started.map(({ n }) => n)).toEqual([0, 1, 3, 2, 4, 5]);
  });

  it('that waits for another attempt holds no place, and its items keep their order', async () => {
    const order: string[] = [];
    let again!: () => void;
    const waits = new Promise<void>((resolve) => (again = resolve));
    let tried = 0;
    const queue = new KeyedQueue<Item>({ concurrency: 1, starvationMs: 1e9 }, ({ key, n }) => {
      order.push(`${key}${n}`);
      return Promise.resolve(key === 'a' && n === 0 && ++tried === 1 ? { again: waits } : undefined);
    });
    for (const n of [0, 1]) for (const key of ['a', 'b']) queue.push(item(key, n));
    await new Promise((resolve) => setImmediate(resolve));
    expect(order).toEqual(['a0', 'b0', 'b1']);
    expect(queue.running).toBe(0);
    again();
    await new Promise((resolve) => setImmediate(resolve));
    expect(order).toEqual(['a0', 'b0', 'b1', 'a0', 'a1']);
    expect(queue.keys).toBe(0);
  });

  it('lets one item go first on purpose, behind what runs', async () => {
    const { queue, started, end } = controlled(1);
    for (const n of [0, 1, 2]) queue.push(item('a', n));
    expect(queue.putFirst('a', ({ n }) => n === 2)).toBe(true);
    expect(queue.putFirst('a', ({ n }) => n === 0)).toBe(false);
    expect(queue.putFirst('b', () => true)).toBe(false);
    for (let i = 0; i < 3; i++) await end(started[i]!);
    expect(started.map(({ n }) => n)).toEqual([0, 2, 1]);
  });

  it('begins what was put first while another item was asked and then had to wait', async () => {
    const order: number[] = [];
    const queue: KeyedQueue<Item> = new KeyedQueue<Item>({ concurrency: 1, starvationMs: 1e9 }, async ({ n }) => {
      order.push(n);
      // Halted: only the last of the line may run.
      if (n < 2 && !order.includes(2)) return { again: new Promise(() => undefined) };
      return undefined;
    });
    for (const n of [0, 1, 2]) queue.push(item('a', n));
    expect(queue.putFirst('a', ({ n }) => n === 2)).toBe(true);
    await new Promise((resolve) => setImmediate(resolve));
    expect(order).toEqual([0, 2, 0, 1]);
    await queue.stop();
  });

  it('gives its place away while its item rests, and does not go on before that is done', async () => {
    const order: string[] = [];
    let wake!: () => void;
    const woken = new Promise<void>((resolve) => (wake = resolve));
    const queue: KeyedQueue<Item> = new KeyedQueue<Item>({ concurrency: 1, starvationMs: 1e9 }, async ({ key, n }) => {
      order.push(`${key}${n}`);
      if (key === 'a' && n === 0) await queue.rest(woken);
      order.push(`${key}${n} done`);
    });
    for (const n of [0, 1]) queue.push(item('a', n));
    queue.push(item('b', 0));
    await new Promise((resolve) => setImmediate(resolve));
    expect(order).toEqual(['a0', 'b0', 'b0 done']);
    const stopped = queue.stop();
    wake();
    await stopped;
    expect(order).toEqual(['a0', 'b0', 'b0 done', 'a0 done']);
  });
});
