/**
 * How evenly work lies over runners: keys over partitions by the server's hash, partitions over runners by the rule of the leases. The
 * busiest runner decides what all of them together can do, for a key that waits for it cannot go anywhere else.
 */
import { spread, type Spread } from '../statistics.js';
import { partitionOf } from './partition-hash.js';

export interface Workload {
  keys: number;
  /** The share of the key of rank n falls with 1 / n^skew: 0 is uniform. */
  skew: number;
}

export interface Balance {
  /** The busiest partition against the average one, over sets of keys with other names. */
  partition: Spread;
  /** The busiest runner against the average one. */
  runner: Spread;
  /** Runners that own nothing. */
  idle: number;
}

/** What each key has of all work; the sum is 1. */
export function weightsOf({ keys, skew }: Workload): number[] {
  const weights = Array.from({ length: keys }, (_, rank) => (rank + 1) ** -skew);
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

/** Who owns which partition when runners have come one by one: each gives back what is over its share, and takes what is free. */
export function ownersOf(partitions: number, runners: number): number[][] {
  const free = new Set(Array.from({ length: partitions }, (_, partition) => partition));
  const held: number[][] = [];
  for (let count = 1; count <= runners; count++) {
    held.push([]);
    const share = Math.ceil(partitions / count);
    for (const owned of held) {
      for (const partition of owned.splice(0, Math.max(0, owned.length - share))) free.add(partition);
    }
    for (const owned of held) {
      for (const partition of free) {
        if (owned.length >= share) break;
        free.delete(partition);
        owned.push(partition);
      }
    }
  }
  return held;
}

export function simulateBalance(workload: Workload, partitions: number, runners: number, sets = 9): Balance {
  const weights = weightsOf(workload);
  const owners = ownersOf(partitions, runners);
  const busiest = { partition: [] as number[], runner: [] as number[] };
  for (let set = 0; set < sets; set++) {
    const loads = new Array<number>(partitions).fill(0);
    weights.forEach((weight, key) => (loads[partitionOf('default', `set-${set}:key-${key}`, partitions)]! += weight));
    busiest.partition.push(Math.max(...loads) * partitions);
    const ofRunners = owners.map((owned) => owned.reduce((sum, partition) => sum + loads[partition]!, 0));
    busiest.runner.push(Math.max(...ofRunners) * runners);
  }
  return {
    partition: spread(busiest.partition),
    runner: spread(busiest.runner),
    idle: owners.filter(({ length }) => length === 0).length,
  };
}
