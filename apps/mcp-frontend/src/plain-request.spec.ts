import { describe, expect, it } from '@jest/globals';
import { classifyInboundRequest } from '@modelcontextprotocol/server';
import { recognise } from './plain-request.js';
import { ENVELOPE } from './spec-front.js';

const call = {
  jsonrpc: '2.0',
  id: 1,
  method: 'tools/call',
  params: { name: 'demo.echo', arguments: { text: 'x' }, _meta: ENVELOPE },
};

/** Values that something goes wrong with. */
const HOSTILE = [undefined, null, true, 0, -1, 1.5, 1e300, '', 'x', [], [1], {}, { a: 1 }, { name: 'n' }, { form: {} }];
const PATHS = [
  ['jsonrpc'],
  ['id'],
  ['method'],
  ['params'],
  ['extra'],
  ['result'],
  ['params', 'name'],
  ['params', '_meta'],
  ['params', '_meta', 'progressToken'],
  ['params', '_meta', 'other'],
  ['params', '_meta', 'io.modelcontextprotocol/protocolVersion'],
  ['params', '_meta', 'io.modelcontextprotocol/logLevel'],
  ['params', '_meta', 'io.modelcontextprotocol/clientInfo'],
  ['params', '_meta', 'io.modelcontextprotocol/clientInfo', 'name'],
  ['params', '_meta', 'io.modelcontextprotocol/clientInfo', 'version'],
  ['params', '_meta', 'io.modelcontextprotocol/clientInfo', 'title'],
  ['params', '_meta', 'io.modelcontextprotocol/clientCapabilities'],
  ...['elicitation', 'sampling', 'roots', 'experimental', 'extensions', 'x'].map((kind) => [
    'params',
    '_meta',
    'io.modelcontextprotocol/clientCapabilities',
    kind,
  ]),
];

function withValue(path: string[], value: unknown): unknown {
  const body = structuredClone(call) as Record<string, unknown>;
  let node = body;
  for (const key of path.slice(0, -1)) node = node[key] as Record<string, unknown>;
  if (value === undefined) delete node[path.at(-1)!];
  else node[path.at(-1)!] = value;
  return body;
}

function bySdk(body: unknown, headers: Record<string, string>) {
  return classifyInboundRequest({
    httpMethod: 'POST',
    protocolVersionHeader: headers['mcp-protocol-version']!,
    mcpMethodHeader: headers['mcp-method']!,
    mcpNameHeader: headers['mcp-name']!,
    body,
  });
}

describe('recognise', () => {
  const headers = { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': 'demo.echo' };

  it('knows a call and a listing of tools, of clients that can do nothing and of clients that can be asked', () => {
    const capable = withValue(['params', '_meta', 'io.modelcontextprotocol/clientCapabilities'], {
      elicitation: {},
      sampling: {},
    });
    const list = { ...call, method: 'tools/list', params: { _meta: ENVELOPE } };
    expect(recognise(call, headers)).toBeDefined();
    expect(recognise(capable, headers)).toBeDefined();
    expect(recognise(list, { ...headers, 'mcp-method': 'tools/list' })).toBeDefined();
  });

  it('recognises nothing that the SDK would have classified otherwise', () => {
    let recognised = 0;
    for (const path of PATHS) {
      for (const value of HOSTILE) {
        const body = withValue(path, value);
        const route = recognise(body, headers);
        if (!route) continue;
        recognised++;
        expect({ path, value, route }).toEqual({ path, value, route: bySdk(body, headers) });
      }
    }
    // Some of what is hostile in one place is fine in another; otherwise this would test nothing.
    expect(recognised).toBeGreaterThan(50);
  });

  it('recognises nothing whose headers say something else', () => {
    for (const name of ['mcp-protocol-version', 'mcp-method']) {
      for (const value of ['', '2025-11-25', 'tools/list', ' tools/call']) {
        expect(recognise(call, { ...headers, [name]: value })).toBeUndefined();
      }
      expect(recognise(call, { ...headers, [name]: undefined })).toBeUndefined();
    }
  });
});
