import { describe, expect, it } from '@jest/globals';
import { debianArchive, parseDeb822Sources, parseOneLineSources } from './debian-package.js';

const DEB822 = `Types: deb
# http://snapshot.example/archive
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://disabled.example/debian
Suites: bookworm

Types: deb-src
URIs: http://sources.example/debian
Suites: bookworm

Types: deb
URIs: http://keyed.example/other
Suites: stable
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQINBF
 -----END PGP PUBLIC KEY BLOCK-----
`;

describe("the system's package sources", () => {
  it('are read from deb822 files, without the disabled and the source-code ones', () => {
    expect(parseDeb822Sources(DEB822)).toEqual([
      {
        uri: 'http://mirror.example/debian',
        suites: ['bookworm', 'bookworm-updates'],
        signedBy: '/usr/share/keyrings/debian-archive-keyring.gpg',
      },
      { uri: 'http://mirror.example/debian-security', suites: ['bookworm-security'] },
      { uri: 'http://keyed.example/other', suites: ['stable'] },
    ]);
  });

  it('are read from one-line files', () => {
    const text = [
      '# deb http://commented.example/debian bookworm main',
      'deb [arch=amd64 signed-by=/usr/share/keyrings/k.gpg] https://mirror.example/debian/ bookworm main contrib',
      'deb-src https://mirror.example/debian bookworm main',
      'deb http://security.example/debian-security bookworm-security main',
    ].join('\n');
    expect(parseOneLineSources(text)).toEqual([
      { uri: 'https://mirror.example/debian/', suites: ['bookworm'], signedBy: '/usr/share/keyrings/k.gpg' },
      { uri: 'http://security.example/debian-security', suites: ['bookworm-security'] },
    ]);
  });

  it("yield Debian's own archive, and never the security archive or a third party's", () => {
    const security = { uri: 'http://deb.example/debian', suites: ['bookworm-security'] };
    const thirdParty = { uri: 'https://packages.example/apt', suites: ['stable'] };
    const archive = { uri: 'https://mirror.example/debian/', suites: ['bookworm'] };
    expect(debianArchive([thirdParty, security, archive])).toBe(archive);
    expect(debianArchive([thirdParty, security])).toBeUndefined();
  });
});
