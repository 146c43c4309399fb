"""The lowest versions that settings.ini allows for the core, as a constraints file: `oldest.py > oldest.txt`."""
import re
from configparser import ConfigParser
from pathlib import Path

ini = ConfigParser(delimiters=['='], interpolation=None)
ini.read(Path(__file__).resolve().parents[2]/'settings.ini', encoding='utf-8')
for need in ini['DEFAULT']['requirements'].split():
    name, lowest = re.match(r'([\w-]+)>=([\d.]+)', need).groups()
    print(f'{name}=={lowest}')
