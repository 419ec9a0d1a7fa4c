/** Which partition a command belongs to, as nats-server decides it by the transform of COMMANDS. A spec holds that against a real server. */
import { encodeToken } from '@callboard/envelope';

const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/** The server's `partition()`: FNV-1a over the tokens, one after the other with nothing between them. */
export function partitionOf(tenantId: string, orderingKey: string, partitions: number): number {
  let hash = FNV_OFFSET;
  for (const byte of Buffer.from(encodeToken(tenantId) + encodeToken(orderingKey))) {
    hash = Math.imul(hash ^ byte, FNV_PRIME);
  }
  return (hash >>> 0) % partitions;
}
