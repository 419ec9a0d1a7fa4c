/**
 * How long to wait before attempt `attempt + 1`: twice as long each time up to a most, and by chance down to half of that, so that those
 * who failed together do not come back together.
 */
export function backOffMs(attempt: number, firstMs: number, mostMs: number): number {
  return Math.min(mostMs, firstMs * 2 ** (attempt - 1)) * (0.5 + Math.random() / 2);
}
