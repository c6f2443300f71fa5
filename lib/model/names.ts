/**
 * Short names of TransformerLens that are no Hugging Face ids. This is spelling only: what a model is,
 * its config.json says.
 */
const aliases: Readonly<Record<string, string>> = {
  'gpt2-small': 'openai-community/gpt2',
  gpt2: 'openai-community/gpt2',
  'gpt2-medium': 'openai-community/gpt2-medium',
  'gpt2-large': 'openai-community/gpt2-large',
  'gpt2-xl': 'openai-community/gpt2-xl',
  'mistral-7b': 'mistralai/Mistral-7B-v0.1',
  'mistral-7b-instruct': 'mistralai/Mistral-7B-Instruct-v0.1',
};

/** Families whose short name is the repository's: "gemma-2-2b" is google/gemma-2-2b. */
const owners: readonly (readonly [pattern: RegExp, owner: string])[] = [
  [/^gemma-/i, 'google'],
  [/^pythia-/i, 'EleutherAI'],
  [/^qwen/i, 'Qwen'],
  [/^(meta-)?llama-/i, 'meta-llama'],
];

/** Qwen spells its sizes with capitals. */
const qwen = /^qwen([\d.]*)-([\d.]+)b(.*)$/i;

/** The Hugging Face id a model name stands for; names with an owner are returned as they are. */
export function repositoryOf(name: string): string {
  if (name.includes('/')) return name;
  const alias = aliases[name.toLowerCase()];
  if (alias !== undefined && Object.hasOwn(aliases, name.toLowerCase())) return alias;
  const owner = owners.find(([pattern]) => pattern.test(name))?.[1];
  if (owner === undefined) return name;
  const spelled = name.replace(
    qwen,
    (_, version: string, size: string, rest: string) =>
      `Qwen${version}-${size}B${rest.replace(/(^|-)[a-z]/g, (letter) => letter.toUpperCase())}`,
  );
  return `${owner}/${owner === 'google' || owner === 'EleutherAI' ? spelled.toLowerCase() : spelled}`;
}
