import { ProtocolError } from '@modelcontextprotocol/server';
import { RPC } from '../protocol-errors.js';
import type { ServerParts } from '../server-factory.js';

/** Of an MCP server that shows no events: there are none, and no resource is one. */
export const HIDDEN_EVENTS: ServerParts['events'] = {
  list: () => [],
  checkSubscribe: () => undefined,
  maySubscribe: () => true,
  read: (_, uri) => Promise.reject(new ProtocolError(RPC.resourceNotFound, 'Resource not found', { uri })),
  position: 0,
  mayHaveSince: () => false,
  watch: () => () => undefined,
  told: () => undefined,
};
