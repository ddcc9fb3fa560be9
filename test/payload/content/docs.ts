import * as L from '../src/lex.ts'
import type { Piece } from './index.ts'

const page = (URLPath: string, title: string, content: unknown, more: Partial<Piece> = {}): Piece => ({ collection: 'docPages', data: { title, URLPath, content }, ...more })
const code = (language: string, text: string) => L.block('Code', { language, code: text })

// The manual of Ferry, a deployment tool that does not exist.
export const docPages: Piece[] = [
  page('/docs/install', 'Installing Ferry', L.doc(
    L.p('Ferry is one binary. Put it on the path of the machine that deploys; the machines that are deployed to need nothing but SSH.'),
    code('shell', 'curl -fsSL https://ferry.example.com/install | sh\nferry version'),
    L.h(2, 'Upgrading'),
    L.p('Run ', L.t('ferry upgrade', 16), '. The previous version stays beside the new one as ', L.t('ferry.old', 16), ' until the first deployment has succeeded.'),
  )),
  page('/docs/configuration', 'The ferry.toml file', L.doc(
    L.p('Everything Ferry knows about an application is in one file at the root of its repository. Unknown keys are errors, so a typing mistake is found before anything is moved.'),
    code('ini', '[app]\nname = "shop"\nport = 8080\n\n[health]\npath = "/healthz"\ntimeout = "5s"'),
    L.table(
      L.row(L.cell(1, L.p('Key')), L.cell(1, L.p('Default')), L.cell(1, L.p('Meaning'))),
      L.row(L.cell(0, L.p('app.port')), L.cell(0, L.p('8080')), L.cell(0, L.p('where the application listens'))),
      L.row(L.cell(0, L.p('health.timeout')), L.cell(0, L.p('5s')), L.cell(0, L.p('how long a new instance may take to answer'))),
      L.row(L.cell(0, L.p('keep')), L.cell(0, L.p('3')), L.cell(0, L.p('how many old releases stay on disk for a rollback'))),
    ),
  )),
  page('/docs/rollback', 'Rolling back a release', L.doc(
    L.p('A rollback is a deployment of an older release that is still on disk, so it takes seconds and needs no network. Database migrations are not undone: write them so that the previous release still runs.'),
    L.list('number', [L.li(1, ['Find the release with ferry releases.']), L.li(2, ['Run ferry rollback and its number.']), L.li(3, ['Watch the health checks turn green.'])]),
    L.h(2, 'When the machine is gone'),
    L.p('With the machine gone its releases are gone too. Deploy the last good commit to a new one instead.'),
  )),
  page('/docs/secrets', 'Where secrets live', L.doc(
    L.p('Ferry never stores a secret in the repository or in its own log. It reads them from the environment of the deploying machine and writes them to a file that only the application can read.'),
    L.p('Rotate a key by setting the new value and deploying again. Both values are valid until the last old instance has ended.'),
  )),
  page('/docs/limits', 'Limits and quotas', L.doc(
    L.list('check', [L.li(1, ['At most 64 machines in one deployment'], { checked: true }), L.li(2, ['At most 2 GB for one release'], { checked: true }), L.li(3, ['Windows targets'], { checked: false })]),
    L.p('A deployment that exceeds a limit is refused before the first byte is copied.'),
  )),
]
