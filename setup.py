"Packaging: every setting comes from `settings.ini`, where nbdev reads it too."
import re
from configparser import ConfigParser
from pathlib import Path
from shutil import copytree, ignore_patterns
from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

here = Path(__file__).parent
ini = ConfigParser(delimiters=['='], interpolation=None)
ini.read(here/'settings.ini', encoding='utf-8')
cfg = ini['DEFAULT']

def readme():
    "README.md with links that also lead somewhere on a package index."
    text = (here/'README.md').read_text(encoding='utf-8')
    text = re.sub(r'\]\(((?!https?:|#)[^)]+\.(?:png|svg))\)', rf"]({cfg['git_url'].replace('github.com', 'raw.githubusercontent.com')}/{cfg['branch']}/\1)", text)
    return re.sub(r'\]\(((?!https?:|#)[^)]+)\)', rf"]({cfg['git_url']}/blob/{cfg['branch']}/\1)", text)

class BuildWithPages(build_py):
    "The lessons travel in the wheel: `llm-lab lab` copies them from there."
    def run(self):
        super().run()
        if self.editable_mode: return
        target = Path(self.build_lib)/cfg['lib_path']/'_pages'
        copytree(here/'nbs', target, dirs_exist_ok=True, ignore=ignore_patterns('.*', '_*', 'runs'))

project_urls = dict(Documentation=cfg['doc_host'] + cfg['doc_baseurl'], Source=cfg['git_url'],
                    Changelog=f"{cfg['git_url']}/blob/{cfg['branch']}/CHANGELOG.md", Issues=f"{cfg['git_url']}/issues")

setup(
    cmdclass={'build_py': BuildWithPages},
    name=cfg['lib_name'], version=cfg['version'], description=cfg['description'], keywords=cfg['keywords'].split(),
    author=cfg['author'], author_email=cfg['author_email'], url=cfg['git_url'], project_urls=project_urls, license_expression='Apache-2.0',
    long_description=readme(), long_description_content_type='text/markdown',
    packages=find_packages(include=['llm_lab', 'llm_lab.*']), include_package_data=True, zip_safe=False,
    python_requires=f">={cfg['min_python']}", install_requires=cfg['requirements'].split(),
    extras_require={'dev': cfg['dev_requirements'].split(), **{k.removesuffix('_requirements'): v.split() for k, v in cfg.items()
                                                                if k.endswith('_requirements') and k != 'dev_requirements'}},
    entry_points={'console_scripts': cfg['console_scripts'].split(), 'nbdev': ['llm_lab=llm_lab._modidx:d']},
    classifiers=['Development Status :: 4 - Beta', 'Intended Audience :: Developers', 'Intended Audience :: Education',
                 'Intended Audience :: Science/Research', 'Natural Language :: English', 'Programming Language :: Python :: 3',
                 *[f'Programming Language :: Python :: 3.{minor}' for minor in (11, 12, 13)]],
)
