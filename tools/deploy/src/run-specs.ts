import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inRepository } from './repository.js';

interface Report {
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
  numFailedTestSuites: number;
  testResults: { message: string }[];
}

export interface SpecCounts {
  passed: number;
  failed: number;
  skipped: number;
  /** What the failed ones said. */
  said: string;
}

/** Runs specs by their path, and those of them whose names fit. Those that are left out by name are not counted. */
export async function runSpecs(path: string, env: NodeJS.ProcessEnv = {}, named?: string): Promise<SpecCounts> {
  const folder = await mkdtemp(join(tmpdir(), 'callboard-specs-'));
  const output = join(folder, 'report.json');
  try {
    const jest = spawn(
      process.execPath,
      [
        ...['--experimental-vm-modules', '--disable-warning=ExperimentalWarning'],
        inRepository('node_modules/jest/bin/jest.js'),
        ...[path, '--json', '--outputFile', output, '--silent'],
        ...(named ? ['--testNamePattern', named] : []),
      ],
      { cwd: inRepository('.'), env: { ...process.env, ...env }, stdio: ['ignore', 'ignore', 'pipe'] },
    );
    let said = '';
    jest.stderr.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(-10_000)));
    await new Promise((resolve) => jest.once('close', resolve));
    const report = await readFile(output, 'utf8').then(
      (text) => JSON.parse(text) as Report,
      () => undefined,
    );
    if (!report) return { passed: 0, failed: 1, skipped: 0, said };
    const failed = Math.max(report.numFailedTests, report.numFailedTestSuites);
    return { passed: report.numPassedTests, failed, skipped: named ? 0 : report.numPendingTests, said };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
