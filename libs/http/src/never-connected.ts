const NO_CONNECTION = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'UND_ERR_CONNECT_TIMEOUT']);

/** Did a `fetch` fail before there was a connection? Then the far side cannot have seen the request. */
export function neverConnected(error: unknown): boolean {
  const { code } = ((error as Error | undefined)?.cause ?? {}) as { code?: string };
  return code !== undefined && NO_CONNECTION.has(code);
}
