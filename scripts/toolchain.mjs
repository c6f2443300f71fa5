// What a build from source needs, and the command that installs what is missing.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

const oldestCMake = [3, 24];

/** The first of these programs that runs, with the first line of its `--version`. */
function find(...programs) {
  for (const program of programs.filter(Boolean)) {
    const { status, stdout } = spawnSync(program, ['--version'], { encoding: 'utf8' });
    if (status === 0) return { version: stdout.split('\n')[0] };
  }
  return undefined;
}

/** Package managers by the file that tells them apart, and what they call the compiler. */
const managers = [
  { at: '/usr/bin/apt-get', install: 'apt-get install', compiler: 'g++' },
  { at: '/usr/bin/dnf', install: 'dnf install', compiler: 'gcc-c++' },
  { at: '/sbin/apk', install: 'apk add', compiler: 'g++' },
  { at: '/usr/bin/pacman', install: 'pacman -S', compiler: 'gcc' },
  { at: '/usr/bin/xcode-select', install: 'brew install', compiler: 'llvm' },
];
const unknown = { install: 'install with your package manager:', compiler: 'g++' };

function isOld(version) {
  const [major = 0, minor = 0] = (version.match(/(\d+)\.(\d+)/)?.slice(1) ?? []).map(Number);
  return major < oldestCMake[0] || (major === oldestCMake[0] && minor < oldestCMake[1]);
}

/** One sentence naming what is missing and the packages that hold it; undefined when nothing is. */
export function missingTools() {
  const { install, compiler } = managers.find(({ at }) => existsSync(at)) ?? unknown;
  const cmake = find('cmake');
  if (cmake && isOld(cmake.version)) {
    return (
      `building monosem needs CMake ${oldestCMake.join('.')} or newer, but this is "${cmake.version}". ` +
      "Take it from your distribution's backports, from cmake.org, or by `pip install cmake`."
    );
  }
  const missing = [];
  if (!cmake) missing.push(['CMake', 'cmake']);
  if (!find(process.env.CXX, 'c++', 'g++', 'clang++')) missing.push(['a C++20 compiler', compiler]);
  if (!find('ninja', 'make')) missing.push(['make or ninja', 'make']);
  if (missing.length === 0) return undefined;
  return (
    `building monosem needs ${missing.map(([what]) => what).join(', ')}, which this machine lacks. ` +
    `Run: ${install} ${missing.map(([, name]) => name).join(' ')}`
  );
}
