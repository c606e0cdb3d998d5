// Where the text comes from: Debian's packages of help, handbooks, manual pages and message catalogues, by language.
import { htmlPage, libreOfficePage, mallardPage, manualPage } from './readers.mjs';

/** The parallel pages that the text is by default. */
export const LIBREOFFICE = {
  packages: {
    en: 'libreoffice-help-en-us',
    fr: 'libreoffice-help-fr',
    de: 'libreoffice-help-de',
    ru: 'libreoffice-help-ru',
    zh: 'libreoffice-help-zh-cn',
    hi: 'libreoffice-help-hi',
    km: 'libreoffice-help-km',
  },
  folders: { en: 'en-US', fr: 'fr', de: 'de', ru: 'ru', zh: 'zh-CN', hi: 'hi', km: 'km' },
  read: libreOfficePage,
};

/** How folders and file names call a language. */
export const CODES = {
  en: ['en', 'en-US', 'en_US', 'en-us', 'C'],
  fr: ['fr', 'fr-FR', 'fr_FR'],
  de: ['de', 'de-DE', 'de_DE'],
  ru: ['ru', 'ru-RU', 'ru_RU'],
  zh: ['zh-CN', 'zh_CN', 'zh-cn', 'zh', 'zh-Hans'],
};
export const LANGUAGES = Object.keys(CODES);

const readers = { html: htmlPage, page: mallardPage, man: manualPage };

/** A package whose pages are all in one language. */
const pages = (kind, packages) =>
  Object.entries(packages).flatMap(([language, names]) =>
    names.map(name => ({ name, language, read: readers[kind], isPage: path => isKind(kind, path, CODES[language]) })),
  );
/** A package with pages in every language, each below a folder, or with an extension, of its language. */
const shared = (kind, name) =>
  LANGUAGES.map(language => ({
    name,
    language,
    read: readers[kind],
    isPage: path =>
      isKind(kind, path, CODES[language]) &&
      CODES[language].some(code => path.includes(`/${code}/`) || path.endsWith(`.${code}.html`)),
  }));

function isKind(kind, path, codes) {
  if (kind === 'html') return path.endsWith('.html') && !/(genindex|search|copyright|index-all)[^/]*$/.test(path);
  if (kind === 'page') return path.endsWith('.page');
  const folder = /\/man\/(?:([^/]+)\/)?man\d[^/]*\/[^/]+\.gz$/.exec(path);
  return folder !== null && (folder[1] === undefined ? codes.includes('en') : codes.includes(folder[1].split('.')[0]));
}

/** What is read beside the LibreOffice help, in this order. */
export const OTHERS = [
  ...pages('man', {
    en: [
      'manpages',
      'manpages-dev',
      'git-man',
      'coreutils',
      'util-linux',
      'dpkg',
      'dpkg-dev',
      'apt',
      'systemd',
      'bash',
    ],
    fr: ['manpages-fr', 'manpages-fr-dev'],
    de: ['manpages-de', 'manpages-de-dev'],
    ru: ['manpages-ru', 'manpages-ru-dev'],
    zh: ['manpages-zh'],
  }),
  ...pages('html', {
    en: [
      'kicad-doc-en',
      'gimp-help-en',
      'aptitude-doc-en',
      'debian-reference-en',
      'debian-faq',
      'maint-guide',
      'developers-reference',
    ],
    fr: [
      'kicad-doc-fr',
      'gimp-help-fr',
      'aptitude-doc-fr',
      'debian-reference-fr',
      'debian-faq-fr',
      'maint-guide-fr',
      'developers-reference-fr',
    ],
    de: [
      'kicad-doc-de',
      'gimp-help-de',
      'debian-reference-de',
      'debian-faq-de',
      'maint-guide-de',
      'developers-reference-de',
    ],
    ru: [
      'kicad-doc-ru',
      'gimp-help-ru',
      'aptitude-doc-ru',
      'debian-faq-ru',
      'maint-guide-ru',
      'developers-reference-ru',
    ],
    zh: ['kicad-doc-zh', 'gimp-help-zh-cn', 'debian-reference-zh-cn', 'debian-faq-zh-cn', 'maint-guide-zh-cn'],
  }),
  ...shared('page', 'gnome-user-docs'),
  ...shared('html', 'debian-handbook'),
  ...shared('html', 'installation-guide-amd64'),
];

/** Packages with message catalogues in all languages but English. */
export const CATALOGUES = [
  'audacity-data',
  'bash',
  'binutils-common',
  'cataclysm-dda-data',
  'coreutils',
  'darktable',
  'digikam-data',
  'evolution-common',
  'freeciv-data',
  'gimp-data',
  'git',
  'gnucash-common',
  'gnumeric-common',
  'gramps',
  'inkscape',
  'kmymoney-common',
  'libvirt-l10n',
  'postgresql-15',
  'util-linux-locales',
  'vlc-l10n',
];
