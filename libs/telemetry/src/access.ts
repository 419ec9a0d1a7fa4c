/** Opens the files that say who may call, so that whoever runs the app is told what becomes of them. */
import { Access, type AccessConfig } from '@callboard/access';
import { gauge } from './gauge.js';
import type { Logger } from './logger.js';

/** @throws ConfigError, AccessError when nobody could ever call, or a file is not what it must be */
export async function openAccess(config: AccessConfig, log: Logger): Promise<Access> {
  const access = await Access.open(config, {
    changed: (file) => log.info({ file }, 'what the file says now is in force'),
    broken: (file, problem) =>
      log.error({ file, problem }, 'the file cannot be used as it is now; what it said before stays in force'),
  });
  const files = config.tokensFile === undefined ? (['access'] as const) : (['access', 'tokens'] as const);
  for (const file of files) {
    const help = `Is what is in the ${file} file not in force? 1: yes`;
    gauge(`callboard_${file}_broken`, help, () => Number(access.isBroken(file)));
  }
  return access;
}
