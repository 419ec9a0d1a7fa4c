/** What the SDK's client keeps to itself of a Streamable HTTP connection, told all the same: every caller of a server needs it. */
import { ProtocolErrorCode, type Transport } from '@modelcontextprotocol/client';

/** To be called once the client has connected. */
export function tellEverything(transport: Transport): void {
  lastFactsFirst(transport);
  tellBrokenStreams(transport);
}

/**
 * The SDK hands a notification on in a later microtask than the response that comes right behind it, and has forgotten by then who
 * wanted to hear of progress: the last fact would be lost. So a response waits for what came before it.
 */
function lastFactsFirst(transport: Transport): void {
  const deliver = transport.onmessage!.bind(transport);
  transport.onmessage = (message, extra) => {
    if ('method' in message) deliver(message, extra);
    else setImmediate(() => deliver(message, extra));
  };
}

/** `data` of the error that stands for a response which will never come. */
export const BROKEN_STREAM = 'callboard: the response stream ended';

/**
 * The SDK does not tell a request that the HTTP stream of its response has ended for good, and lets it run into its time-out. An error
 * response of our own ends it; where the response had come, nobody waits for that any more.
 */
function tellBrokenStreams(transport: Transport): void {
  const send = transport.send.bind(transport);
  transport.send = (message, options) => {
    if (!('id' in message && 'method' in message)) return send(message, options);
    const error = { code: ProtocolErrorCode.InternalError, message: 'The connection broke', data: BROKEN_STREAM };
    const onRequestStreamEnd = () => transport.onmessage?.({ jsonrpc: '2.0', id: message.id, error });
    return send(message, { onRequestStreamEnd, ...options });
  };
}
